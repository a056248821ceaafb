//! What it took: time by stage, memory, units and dollars.

use super::{
    Page, Stand,
    history::History,
    html::Html,
    numbers::{bytes, figures, median, time},
};

pub(super) fn section(html: &mut Html, page: &Page<'_>, stand: &Stand<'_>, history: &History) {
    html.raw("<section id=\"costs\"><h2>Time, memory, cost and versions</h2>");
    stages(html, stand);
    html.raw("<dl class=\"fields\">");
    let field = |html: &mut Html, name: &'static str, value: String| {
        html.raw("<div><dt>").raw(name).raw("</dt><dd>").text(value).raw("</dd></div>");
    };
    if let Some(step) = median(history.steps.iter().map(|step| step.step_time)) {
        let rate = median(history.steps.iter().map(|step| step.tokens_per_second)).unwrap_or(0.0);
        field(html, "a step", format!("{} (median), {} tokens a second", time(step), figures(rate)));
    }
    let previews: f64 = history.previews.iter().map(|line| line.preview.seconds).sum();
    if previews > 0.0 {
        let all =
            format!("{} of the training's time, for {} previews", time(previews), history.previews.len());
        field(html, "previews", all);
    }
    let steps = history.steps.iter().map(|step| step.peak_memory);
    let peak = steps.chain(history.previews.iter().map(|line| line.preview.peak_memory)).max().flatten();
    if let Some(peak) = peak {
        field(html, "memory of the process, at most", bytes(peak));
    }
    let units = page.request.estimated_units();
    let cost = match stand.is_finished {
        true => format!("{units} units, {}", units.price()),
        false => format!("nothing so far; {units} units, {}, when finished", units.price()),
    };
    field(html, "cost", cost);
    html.raw("</dl>");
    versions(html, page);
    html.raw("</section>");
}

fn versions(html: &mut Html, page: &Page<'_>) {
    let [checkpoint, text_encoder] = &page.models;
    let version = page.model_version.map(|version| format!(", version {version}")).unwrap_or_default();
    let program = concat!("inpaint ", env!("CARGO_PKG_VERSION"));
    html.raw("<h3>Versions</h3><dl class=\"fields\">");
    for (name, text) in [
        ("program", format!("{program}, {} {}", std::env::consts::OS, std::env::consts::ARCH)),
        ("base model", format!("{}{version}, digest {checkpoint}", page.base_model)),
        ("text encoder", format!("digest {text_encoder}")),
    ] {
        html.raw("<div><dt>").raw(name).raw("</dt><dd>").user(&text, 300).raw("</dd></div>");
    }
    html.raw("</dl>");
}

fn stages(html: &mut Html, stand: &Stand<'_>) {
    let longest = stand.timings.stages.iter().map(|(_, seconds)| *seconds).fold(0.0, f64::max).max(1e-9);
    html.raw("<table class=\"stages\"><thead><tr><th scope=\"col\">stage</th><th scope=\"col\">time</th></tr></thead><tbody>");
    for (name, seconds) in &stand.timings.stages {
        let style = format!("--share:{:.1}%", 100.0 * (seconds / longest).clamp(0.0, 1.0));
        html.raw("<tr><th scope=\"row\">").text(name).raw("</th>");
        html.element("td", &[("class", &"bar"), ("style", &style)], time(*seconds)).raw("</tr>");
    }
    html.raw("</tbody></table>");
    if stand.timings.processes > 1 {
        let words = "processes worked on this run: it was resumed. What a killed one did after its last snapshot is not counted.";
        html.raw("<p class=\"note\">").text(stand.timings.processes).raw(" ").raw(words).raw("</p>");
    }
}
