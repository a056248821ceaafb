//! Whether every module of the LoRA does something, and how much.

use std::collections::BTreeMap;

use lora_train::adapters::UnsoundModule;
use ltx_model::LORA_TARGETS;

use super::{
    html::Html,
    numbers::{figures, median},
};

/// What is known of the modules.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Health {
    /// Nothing: no step is done.
    Unknown,
    /// The root mean square of the change to each module's weight.
    Sound(Vec<(String, f64)>),
    /// The modules that are not finite or do nothing.
    Unsound(Vec<UnsoundModule>),
}

impl From<Result<Vec<(String, f64)>, Vec<UnsoundModule>>> for Health {
    fn from(measured: Result<Vec<(String, f64)>, Vec<UnsoundModule>>) -> Self {
        measured.map_or_else(Self::Unsound, Self::Sound)
    }
}

pub(super) fn section(html: &mut Html, health: &Health) {
    html.raw("<section id=\"lora\"><h2>LoRA</h2>");
    match health {
        Health::Unknown => {
            html.raw("<p>No step is done yet.</p>");
        }
        Health::Unsound(modules) => unsound(html, modules),
        Health::Sound(modules) => sound(html, modules),
    }
    html.raw("</section>");
}

fn unsound(html: &mut Html, modules: &[UnsoundModule]) {
    html.raw("<p class=\"bad\">").text(modules.len()).raw(" modules are not sound:</p><ul>");
    for module in modules.iter().take(500) {
        html.raw("<li><code>").text(&module.module).raw("</code> is ").text(module.what).raw("</li>");
    }
    html.raw("</ul>");
}

fn sound(html: &mut Html, modules: &[(String, f64)]) {
    let values = || modules.iter().map(|(_, rms)| *rms);
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    html.raw("<p>How much each module changes the weight that it is added to: the root mean square of the change. All ");
    html.text(modules.len())
        .raw(" modules are finite, and none is zero; from ")
        .text(figures(low))
        .raw(" to ");
    html.text(figures(high)).raw(", median ").text(figures(median(values()).unwrap_or(0.0))).raw(".</p>");
    let (blocks, others) = by_block(modules);
    if !blocks.is_empty() {
        map(html, &blocks, [low, high]);
        numbers(html, &blocks);
    }
    for (name, rms) in others {
        html.raw("<p><code>").text(name).raw("</code> ").text(figures(*rms)).raw("</p>");
    }
}

/// One row a target, one cell a block: the darker, the more it changes.
fn map(html: &mut Html, blocks: &Blocks, range: [f64; 2]) {
    let (first, last) = (blocks.keys().next().unwrap_or(&0), blocks.keys().last().unwrap_or(&0));
    html.raw("<table class=\"map\"><caption>Blocks ").text(first).raw(" to ").text(last);
    html.raw(" from left to right; the stronger the colour, the larger the change</caption><tbody>");
    for (column, target) in LORA_TARGETS.iter().enumerate() {
        html.raw("<tr>").element("th", &[("scope", &"row")], target);
        for (block, row) in blocks {
            let share = row[column].map_or(0.0, |rms| place(rms, range));
            let value = row[column].map_or_else(|| "none".to_owned(), figures);
            let title = format!("block {block}, {target}: {value}");
            html.open("td", &[("style", &format_args!("--heat-share:{share:.0}%")), ("title", &title)])
                .close("td");
        }
        html.raw("</tr>");
    }
    html.raw("</tbody></table>");
}

/// Where a value lies in a range, in percent, by their logarithms.
fn place(value: f64, [low, high]: [f64; 2]) -> f64 {
    let share = if high > low { (value / low).ln() / (high / low).ln() } else { 0.5 };
    100.0 * share.clamp(0.0, 1.0)
}

fn numbers(html: &mut Html, blocks: &Blocks) {
    html.raw("<details><summary>As numbers</summary><div class=\"scroll\"><table><thead><tr><th scope=\"col\">block</th>");
    LORA_TARGETS.iter().for_each(|target| {
        html.element("th", &[("scope", &"col")], target);
    });
    html.raw("</tr></thead><tbody>");
    for (block, row) in blocks {
        html.raw("<tr><th scope=\"row\">").text(block).raw("</th>");
        for rms in row {
            html.raw("<td>")
                .text(rms.map_or_else(|| "–".to_owned(), |rms| format!("{rms:.2e}")))
                .raw("</td>");
        }
        html.raw("</tr>");
    }
    html.raw("</tbody></table></div></details>");
}

type Blocks = BTreeMap<u32, [Option<f64>; LORA_TARGETS.len()]>;

/// The values in the order of blocks and targets, and those of other modules.
fn by_block(modules: &[(String, f64)]) -> (Blocks, Vec<&(String, f64)>) {
    let (mut blocks, mut others) = (Blocks::new(), Vec::new());
    for module in modules {
        let place = module.0.strip_prefix("transformer_blocks.").and_then(|rest| {
            let (block, target) = rest.split_once('.')?;
            let column = LORA_TARGETS.iter().position(|name| *name == target)?;
            Some((block.parse().ok()?, column))
        });
        match place {
            Some((block, column)) => blocks.entry(block).or_default()[column] = Some(module.1),
            None => others.push(module),
        }
    }
    (blocks, others)
}
