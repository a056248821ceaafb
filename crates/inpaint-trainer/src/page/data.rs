//! What the data were: pictures, warnings, and what masks cover.

use std::collections::BTreeMap;

use crate::{ExampleReport, Warning};

use super::{
    Page, Stand,
    budget::Budget,
    html::Html,
    numbers::{figures, percent},
};

/// Rows of the table, and warnings; the page says how many more there are.
const MOST: usize = 400;
/// Letters of a caption.
const CAPTION: usize = 300;

pub(super) fn section(html: &mut Html, page: &Page<'_>, stand: &Stand<'_>, budget: &mut Budget) {
    let report = stand.report;
    html.raw("<section id=\"data\"><h2>Data</h2><p>").text(report.examples.len());
    html.raw(" examples at ").text(page.request.bucket()).raw(", ").text(report.dropped.len());
    html.raw(" clips dropped. White in a mask is regenerated; a latent cell of 32 by 32 pixels is regenerated as a whole.</p>");
    warnings(html, &report.warnings);
    gallery(html, page, &report.examples, budget);
    table(html, &report.examples);
    html.raw("</section>");
}

/// Warnings by kind.
fn warnings(html: &mut Html, warnings: &[Warning]) {
    if warnings.is_empty() {
        return;
    }
    let mut kinds: BTreeMap<&str, Vec<&Warning>> = BTreeMap::new();
    for warning in warnings.iter().take(MOST) {
        kinds.entry(warning.kind).or_default().push(warning);
    }
    html.raw("<h3>Warnings</h3><dl class=\"warnings\">");
    for (kind, warnings) in kinds {
        html.raw("<dt>").text(kind).raw("</dt><dd><ul>");
        for warning in warnings {
            html.raw("<li>").user(&warning.message, CAPTION).raw("</li>");
        }
        html.raw("</ul></dd>");
    }
    html.raw("</dl>");
    more(html, warnings.len(), MOST, "warnings");
}

fn gallery(html: &mut Html, page: &Page<'_>, examples: &[ExampleReport], budget: &mut Budget) {
    html.raw("<h3>Examples</h3><p class=\"note\">First, middle and last frame as trained on; red is white in the mask, cells to regenerate are outlined.</p>");
    html.raw("<div class=\"gallery\">");
    let mut shown = 0;
    for (example, jpeg) in examples.iter().zip(&page.strips.0) {
        if !budget.take(jpeg.len()) {
            continue;
        }
        shown += 1;
        html.raw("<figure>").jpeg(jpeg, &format!("Frames of {}", example.name));
        html.raw("<figcaption><strong>").user(&example.name, 80).raw("</strong>");
        match example.caption.is_empty() {
            true => html.raw(" <span class=\"note\">no prompt</span>"),
            false => html.raw(" ").user(&example.caption, 140),
        };
        html.raw("</figcaption></figure>");
    }
    html.raw("</div>");
    more(html, examples.len(), shown, "examples");
}

fn table(html: &mut Html, examples: &[ExampleReport]) {
    html.raw("<details><summary>Sizes, frames and coverage of every example</summary><div class=\"scroll\"><table><thead><tr>");
    for name in [
        "example",
        "clip",
        "frames",
        "rate",
        "cut away",
        "mask",
        "white pixels",
        "cells",
        "warnings",
        "prompt",
    ] {
        html.element("th", &[("scope", &"col")], name);
    }
    html.raw("</tr></thead><tbody>");
    examples.iter().take(MOST).for_each(|example| row(html, example));
    html.raw("</tbody></table></div>");
    more(html, examples.len(), MOST, "examples");
    html.raw("</details>");
}

fn row(html: &mut Html, example: &ExampleReport) {
    let size = |[width, height]: [u32; 2]| format!("{width}×{height}");
    html.raw("<tr><th scope=\"row\">").user(&example.name, 80).raw("</th>");
    let frames = example.scene.map_or(example.source_frames, |scene| scene.frames);
    for text in [
        size(example.source_size),
        format!("{} of {frames}", example.frames),
        figures(example.source_frame_rate),
        percent(example.cropped),
        format!("{} {}", example.mask, size(example.mask_size)),
    ] {
        html.element("td", &[], text);
    }
    for share in [example.mask_coverage, example.latent_coverage] {
        let style = format!("--share:{:.1}%", 100.0 * share.clamp(0.0, 1.0));
        html.element("td", &[("class", &"bar"), ("style", &style)], percent(share));
    }
    html.element("td", &[], example.warnings.join(", "));
    html.raw("<td class=\"long\">").user(&example.caption, CAPTION).raw("</td></tr>");
}

fn more(html: &mut Html, there: usize, shown: usize, what: &'static str) {
    if there > shown {
        html.raw("<p class=\"note\">").text(there - shown).raw(" more ").raw(what).raw(" are not shown.</p>");
    }
}
