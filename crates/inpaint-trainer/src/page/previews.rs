//! Previews by step: one place for all steps of a sample, so that they can be compared by switching.

use super::{
    Page,
    budget::Budget,
    chart::{Chart, Line, Look},
    history::{History, Previewed},
    html::Html,
    numbers::time,
};

/// Steps of a sample whose pictures are shown; the first and the last always are.
const MOST_STEPS: usize = 12;

pub(super) fn section(html: &mut Html, page: &Page<'_>, history: &History, budget: &mut Budget) {
    let mut samples: Vec<usize> = history.previews.iter().map(|line| line.preview.sample).collect();
    samples.sort_unstable();
    samples.dedup();
    if samples.is_empty() {
        return;
    }
    html.raw("<section id=\"previews\"><h2>Previews</h2>");
    html.raw(
        "<p>First, middle and last frame. Every step starts from the same noise, so what differs is the LoRA. Outside the \
         mask the frames are the source itself; the whole clips are in the folder <code>previews</code>.</p>",
    );
    for sample in samples {
        let lines: Vec<&Previewed> =
            history.previews.iter().filter(|line| line.preview.sample == sample).collect();
        draw(html, page, sample, &lines, budget);
    }
    html.raw("</section>");
}

fn draw(html: &mut Html, page: &Page<'_>, sample: usize, lines: &[&Previewed], budget: &mut Budget) {
    let Some(last) = lines.last() else { return };
    html.raw("<article class=\"sample\"><h3>Sample ").text(sample).raw("</h3><p class=\"prompt\">");
    html.user(&last.preview.prompt, 600).raw("</p><div class=\"references\">");
    for (what, words) in [("source", "The source"), ("mask", "Its mask: red is regenerated, cells outlined")]
    {
        if let Some(jpeg) = budget.read(&page.out.join(format!("previews/sample-{sample}-{what}.jpg"))) {
            html.raw("<figure>")
                .jpeg(&jpeg, words)
                .raw("<figcaption>")
                .text(words)
                .raw("</figcaption></figure>");
        }
    }
    html.raw("</div>");
    steps(html, page, sample, lines, budget);
    numbers(html, page, lines);
    html.raw("</article>");
}

/// The pictures, one above the other; a row of buttons says which one is seen.
fn steps(html: &mut Html, page: &Page<'_>, sample: usize, lines: &[&Previewed], budget: &mut Budget) {
    let shown = spread(lines.len());
    // The last and the first are what a page must not lack: they come first where room is short.
    let mut order: Vec<usize> = shown.clone();
    order.sort_unstable_by_key(|index| (*index != lines.len() - 1, *index));
    let mut pictures: Vec<(usize, Vec<u8>)> = order
        .into_iter()
        .filter_map(|index| Some((index, budget.read(&inside(page, &lines[index].preview.still)?)?)))
        .collect();
    pictures.sort_unstable_by_key(|(index, _)| *index);
    if pictures.is_empty() {
        return;
    }
    html.raw("<fieldset class=\"stepper\"><legend>After step</legend>");
    let last = pictures.len() - 1;
    for (place, (index, jpeg)) in pictures.iter().enumerate() {
        let line = lines[*index];
        let id = format!("sample-{sample}-step-{}", line.step);
        html.raw("<div class=\"step\">").raw("<input type=\"radio\"");
        html.raw(" name=\"sample-").text(sample).raw("\" id=\"").text(&id).raw("\"");
        html.raw(if place == last { " checked>" } else { ">" });
        html.open("label", &[("for", &id)]);
        match line.step {
            0 => html.raw("before"),
            step => html.text(step),
        };
        html.raw("</label><figure>").jpeg(jpeg, &format!("Sample {sample} after step {}", line.step));
        html.raw("<figcaption>").text(caption(line)).raw("</figcaption></figure></div>");
    }
    html.raw("</fieldset>");
    if shown.len() < lines.len() {
        html.raw("<p class=\"note\">")
            .text(shown.len())
            .raw(" of ")
            .text(lines.len())
            .raw(" previews are shown.</p>");
    }
}

/// The path of a picture, if it is one inside the results.
fn inside(page: &Page<'_>, still: &str) -> Option<std::path::PathBuf> {
    let path = std::path::Path::new(still);
    let is_inside = path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    is_inside.then(|| page.out.join(path))
}

/// At most so many of `count` indices, evenly, with both ends.
fn spread(count: usize) -> Vec<usize> {
    match count {
        0..=MOST_STEPS => (0..count).collect(),
        _ => (0..MOST_STEPS).map(|place| place * (count - 1) / (MOST_STEPS - 1)).collect(),
    }
}

fn caption(line: &Previewed) -> String {
    let preview = &line.preview;
    let when =
        if line.step == 0 { "before training".to_owned() } else { format!("after step {}", line.step) };
    let kept = preview.kept_psnr.map(|psnr| format!("kept region {psnr:.1} dB before compositing"));
    let white = preview.white_psnr.map(|psnr| format!("white region {psnr:.1} dB against the source"));
    let seam = preview.seam.map(|seam| match preview.source_seam {
        Some(source) => format!("seam {seam:.2} (source {source:.2})"),
        None => format!("seam {seam:.2}"),
    });
    let parts = [Some(when), kept, white, seam, Some(time(preview.seconds))];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

fn numbers(html: &mut Html, page: &Page<'_>, lines: &[&Previewed]) {
    if lines.len() < 2 {
        return;
    }
    let of = |value: fn(&super::history::Preview) -> Option<f64>| -> Vec<[f64; 2]> {
        lines.iter().filter_map(|line| Some([line.step as f64, value(&line.preview)?])).collect()
    };
    let steps = u64::from(page.request.number_of_steps());
    let (kept, white) = ("kept region", "white region");
    html.raw("<div class=\"charts\">");
    for (title, note, [first, second], values) in [
        ("PSNR", "dB against the source", [kept, white], [of(|p| p.kept_psnr), of(|p| p.white_psnr)]),
        ("SSIM", "1 is equal to the source", [kept, white], [of(|p| p.kept_ssim), of(|p| p.white_ssim)]),
        ("Seam", "1 looks like the inside", ["result", "source"], [of(|p| p.seam), of(|p| p.source_seam)]),
    ] {
        let [a, b] = values;
        let lines = vec![
            Line { name: first, look: Look::First, points: a },
            Line { name: second, look: Look::Second, points: b },
        ];
        Chart { title, note, steps, lines }.draw(html);
    }
    html.raw("</div>");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_steps_are_spread_with_both_ends() {
        assert_eq!(spread(3), [0, 1, 2]);
        let many = spread(201);
        assert_eq!((many.len(), many[0], many[11]), (12, 0, 200));
        assert!(many.is_sorted());
    }
}
