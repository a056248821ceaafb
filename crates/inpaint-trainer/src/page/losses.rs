//! The curves.

use super::{
    Page,
    chart::{Chart, Line, Look},
    history::{Evaluated, History, smoothed},
    html::Html,
    numbers::figures,
};

const QUARTERS: [(&str, &str); 4] = [
    ("Sigma 0 to ¼", "little noise: fine detail"),
    ("Sigma ¼ to ½", ""),
    ("Sigma ½ to ¾", ""),
    ("Sigma ¾ to 1", "mostly noise: what is where"),
];

/// Rows of the table; more are thinned.
const MOST_ROWS: usize = 60;

pub(super) fn section(html: &mut Html, page: &Page<'_>, history: &History) {
    html.raw("<section id=\"loss\"><h2>Loss</h2>");
    if history.steps.is_empty() && history.evaluations.is_empty() {
        html.raw("<p>No step is done yet.</p></section>");
        return;
    }
    html.raw(
        "<p>The loss of a step depends on which example and how much noise it drew, so it jumps. The loss on fixed draws \
         uses the same examples, noise levels and noises every time: it is the curve to read. Held-out examples are never \
         trained on; where their curve turns up while the other falls, the LoRA begins to memorise.</p>",
    );
    let steps = u64::from(page.request.number_of_steps());
    all(history, steps).draw(html);
    html.raw("<div class=\"charts\">");
    (0..4).for_each(|quarter| by_sigma(history, steps, quarter).draw(html));
    let norms = history.of_steps(|step| step.grad_norm);
    let lines = vec![
        Line { name: "every step", look: Look::Raw, points: norms.clone() },
        Line { name: "smoothed", look: Look::Smooth, points: smoothed(&norms) },
    ];
    Chart { title: "Gradient norm", note: "before clipping", steps, lines }.draw(html);
    let rates = history.of_steps(|step| step.lr);
    let lines = vec![Line { name: "Learning rate", look: Look::Smooth, points: rates }];
    Chart { title: "Learning rate", note: "", steps, lines }.draw(html);
    html.raw("</div>");
    table(html, &history.evaluations);
    html.raw("</section>");
}

fn all(history: &History, steps: u64) -> Chart<'_> {
    let raw = history.of_steps(|step| step.loss);
    let smooth = smoothed(&raw);
    let of = |value: fn(&Evaluated) -> Option<f64>| points(history, value);
    Chart {
        title: "Loss",
        note: "",
        steps,
        lines: vec![
            Line { name: "every step", look: Look::Raw, points: raw },
            Line { name: "steps, smoothed", look: Look::Smooth, points: smooth },
            Line { name: "fixed draws", look: Look::First, points: of(|at| Some(at.fixed)) },
            Line { name: "held out", look: Look::Second, points: of(|at| at.held_out) },
        ],
    }
}

fn by_sigma(history: &History, steps: u64, quarter: usize) -> Chart<'static> {
    let fixed = points(history, |at| at.fixed_by_sigma[quarter]);
    let held_out = points(history, |at| at.held_out_by_sigma.and_then(|losses| losses[quarter]));
    let (title, note) = QUARTERS[quarter];
    Chart {
        title,
        note,
        steps,
        lines: vec![
            Line { name: "fixed draws", look: Look::First, points: fixed },
            Line { name: "held out", look: Look::Second, points: held_out },
        ],
    }
}

fn points(history: &History, value: impl Fn(&Evaluated) -> Option<f64>) -> Vec<[f64; 2]> {
    history.evaluations.iter().filter_map(|at| Some([at.step as f64, value(at)?])).collect()
}

/// The same as numbers.
fn table(html: &mut Html, evaluations: &[Evaluated]) {
    let every = evaluations.len().div_ceil(MOST_ROWS).max(1);
    let last = evaluations.len().saturating_sub(1);
    let rows: Vec<&Evaluated> = evaluations
        .iter()
        .enumerate()
        .filter(|(index, _)| index % every == 0 || *index == last)
        .map(|(_, at)| at)
        .collect();
    if rows.is_empty() {
        return;
    }
    html.raw("<details><summary>As numbers</summary><div class=\"scroll\"><table><thead><tr><th scope=\"col\">step</th>");
    html.raw("<th scope=\"col\">fixed draws</th><th scope=\"col\">held out</th>");
    QUARTERS.iter().for_each(|(name, _)| {
        html.element("th", &[("scope", &"col")], name);
    });
    html.raw("</tr></thead><tbody>");
    for at in rows {
        html.raw("<tr><th scope=\"row\">").text(at.step).raw("</th>");
        let losses = [Some(at.fixed), at.held_out].into_iter().chain(at.fixed_by_sigma);
        losses.for_each(|loss| {
            html.raw("<td>").text(loss.map_or_else(|| "–".to_owned(), figures)).raw("</td>");
        });
        html.raw("</tr>");
    }
    html.raw("</tbody></table></div></details>");
}
