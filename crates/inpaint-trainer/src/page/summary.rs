//! The head of the page: what this run is, where it stands, and what its numbers say.

use super::{
    Page, Stand,
    budget::Budget,
    history::History,
    html::{Html, shortened},
    numbers::{figures, percent, time},
    readings::{self, Level},
};

/// The name of the tab.
pub(super) fn title(page: &Page<'_>) -> String {
    format!("{} · inpainting LoRA", shortened(name(page), 60))
}

/// The trigger phrase is what people know a LoRA by; without one, the base model.
fn name<'a>(page: &'a Page<'_>) -> &'a str {
    match page.request.trigger_phrase().trim() {
        "" => page.base_model,
        phrase => phrase,
    }
}

pub(super) fn header(html: &mut Html, page: &Page<'_>, stand: &Stand<'_>, history: &History) {
    let steps = page.request.number_of_steps();
    html.raw("<header><p class=\"kind\">Video-inpainting LoRA</p><h1>").user(name(page), 120).raw("</h1>");
    html.raw("<p class=\"about\">rank ").text(page.request.rank()).raw(" for ").user(page.base_model, 80);
    html.raw(", trained at ").text(page.request.bucket()).raw(" on ").text(stand.report.examples.len());
    html.raw(" examples</p>");
    match stand.is_finished {
        true => html.raw("<p class=\"state done\">finished: ").text(steps).raw(" steps</p>"),
        false => html
            .raw("<p class=\"state\">in progress: step ")
            .text(stand.step)
            .raw(" of ")
            .text(steps)
            .raw("; this page is written anew with every snapshot</p>"),
    };
    navigation(html, history);
    html.raw("</header>");
}

fn navigation(html: &mut Html, history: &History) {
    html.raw("<nav aria-label=\"Sections\">");
    if !history.previews.is_empty() {
        html.raw("<a href=\"#previews\">Previews</a>");
    }
    html.raw(
        "<a href=\"#loss\">Loss</a><a href=\"#data\">Data</a><a href=\"#lora\">LoRA</a>\
         <a href=\"#request\">Request</a><a href=\"#costs\">Time and cost</a></nav>",
    );
}

/// The key figures, and what they say.
pub(super) fn section(html: &mut Html, page: &Page<'_>, stand: &Stand<'_>, history: &History) {
    html.raw("<section class=\"summary\" aria-label=\"Summary\"><dl class=\"tiles\">");
    let steps = page.request.number_of_steps();
    tile(html, "steps", format!("{} of {steps}", stand.step), passes(stand));
    let fixed = history.evaluations.first().zip(history.evaluations.last());
    if let Some((first, last)) = fixed {
        let change = (first.fixed > 0.0).then(|| (last.fixed / first.fixed - 1.0) * 100.0);
        let change = change.map(|change| format!("{change:+.0} % from {}", figures(first.fixed)));
        tile(html, "loss, fixed draws", figures(last.fixed), change);
        if let (Some(before), Some(now)) = (first.held_out, last.held_out) {
            let change = (before > 0.0).then(|| (now / before - 1.0) * 100.0);
            let change = change.map(|change| format!("{change:+.0} % from {}", figures(before)));
            tile(html, "loss, held out", figures(now), change);
        }
    }
    if let Some(preview) = history.previews.last() {
        let kept = preview.preview.kept_psnr.map(|psnr| format!("kept region {psnr:.1} dB"));
        tile(html, "previews", history.previews.len().to_string(), kept);
    }
    let cells: f64 = stand.report.examples.iter().map(|example| example.latent_coverage).sum();
    let cells = cells / stand.report.examples.len().max(1) as f64;
    tile(html, "regenerated", percent(cells), Some("of the latent cells, on average".to_owned()));
    tile(html, "time", time(stand.timings.total()), None);
    let units = page.request.estimated_units();
    let price = format!("{units} units{}", if stand.is_finished { "" } else { " when finished" });
    tile(html, "cost", units.price().to_string(), Some(price));
    html.raw("</dl>");
    readings(html, stand, history);
    html.raw("</section>");
}

fn passes(stand: &Stand<'_>) -> Option<String> {
    stand.report.passes.map(|passes| format!("{passes:.0} passes over each example in all"))
}

fn tile(html: &mut Html, name: &'static str, value: String, note: Option<String>) {
    html.raw("<div><dt>").raw(name).raw("</dt><dd><span class=\"value\">").text(value).raw("</span>");
    if let Some(note) = note {
        html.raw("<span class=\"note\">").text(note).raw("</span>");
    }
    html.raw("</dd></div>");
}

fn readings(html: &mut Html, stand: &Stand<'_>, history: &History) {
    let readings = readings::of(stand, history);
    if readings.is_empty() {
        return;
    }
    html.raw("<ul class=\"readings\" aria-label=\"What the numbers say\">");
    for (level, text) in readings {
        let class = match level {
            Level::Good => "good",
            Level::Look => "look",
        };
        html.element("li", &[("class", &class)], text);
    }
    html.raw("</ul>");
}

pub(super) fn footer(html: &mut Html, budget: &Budget) {
    html.raw("<footer><p>Written by inpaint ").raw(env!("CARGO_PKG_VERSION")).raw(".");
    if budget.left_out > 0 {
        html.raw(" ")
            .text(budget.left_out)
            .raw(" pictures are not embedded: they are missing, or there was no room.");
    }
    html.raw(" This page holds all that it shows: it can be sent as it is.</p></footer>");
}
