//! Line charts as inline SVG. The lines stretch with the page; words stay as they are, for they stand beside the SVG.

use std::fmt::Write;

use super::{
    html::Html,
    numbers::figures,
    scale::{Scale, bulk, thinned},
};

/// Points of a line that is drawn; more are thinned.
const MOST_POINTS: usize = 600;
/// Points that are marked, and can be pointed at.
const MOST_DOTS: usize = 120;
/// The side of the drawing, in units of its own.
const SIDE: f64 = 1000.0;

/// One line: where it is, and how it looks.
pub(super) struct Line<'a> {
    pub(super) name: &'a str,
    /// The style sheet's name of its look.
    pub(super) look: Look,
    pub(super) points: Vec<[f64; 2]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Faint: what is behind another line. It does not stretch the scale to its rare peaks.
    Raw,
    Smooth,
    First,
    Second,
}

impl Look {
    fn class(self) -> &'static str {
        match self {
            Self::Raw => "line raw",
            Self::Smooth => "line smooth",
            Self::First => "line first",
            Self::Second => "line second",
        }
    }

    fn has_dots(self) -> bool {
        matches!(self, Self::First | Self::Second)
    }
}

/// A chart over the steps of a run, 0 to `steps`.
pub(super) struct Chart<'a> {
    pub(super) title: &'a str,
    pub(super) note: &'a str,
    pub(super) steps: u64,
    pub(super) lines: Vec<Line<'a>>,
}

impl Chart<'_> {
    /// Draws it; nothing if there is no line with a point.
    pub(super) fn draw(mut self, html: &mut Html) {
        for line in &mut self.lines {
            line.points.retain(|point| point[1].is_finite());
        }
        self.lines.retain(|line| !line.points.is_empty());
        if self.lines.is_empty() {
            return;
        }
        let (x, y) = (Scale::up_to(self.steps as f64, 5), self.values());
        html.raw("<figure class=\"chart\"><figcaption><strong>").text(self.title).raw("</strong>");
        if !self.note.is_empty() {
            html.raw(" <span class=\"note\">").text(self.note).raw("</span>");
        }
        self.legend(html);
        html.raw("</figcaption><div class=\"plot\">");
        html.open(
            "svg",
            &[
                ("viewBox", &"0 0 1000 1000"),
                ("preserveAspectRatio", &"none"),
                ("role", &"img"),
                ("aria-label", &self.in_words()),
            ],
        );
        html.element("path", &[("class", &"grid"), ("d", &grid(&y))], "");
        for line in &self.lines {
            draw_line(html, line, &x, &y);
        }
        html.close("svg");
        ticks(html, "y", &y);
        ticks(html, "x", &x);
        html.raw("</div></figure>");
    }

    /// The scale of the values: that of the bulk where lines are faint, of every point elsewhere.
    fn values(&self) -> Scale {
        let of = |line: &Line<'_>| {
            let values = line.points.iter().map(|point| point[1]);
            let bounds = [
                values.clone().fold(f64::INFINITY, f64::min),
                values.clone().fold(f64::NEG_INFINITY, f64::max),
            ];
            if line.look == Look::Raw { bulk(values).unwrap_or(bounds) } else { bounds }
        };
        let [low, high] = self
            .lines
            .iter()
            .map(of)
            .reduce(|[low, high], [a, b]| [low.min(a), high.max(b)])
            .unwrap_or([0.0, 1.0]);
        Scale::around(low, high, 4)
    }

    fn legend(&self, html: &mut Html) {
        if self.lines.len() < 2 {
            return;
        }
        html.raw("<span class=\"legend\">");
        for line in &self.lines {
            html.open("span", &[("class", &line.look.class())]).text(line.name).close("span");
        }
        html.raw("</span>");
    }

    /// What the chart shows, for who cannot see it.
    fn in_words(&self) -> String {
        let mut words = format!("{}, over {} steps", self.title, self.steps);
        for Line { name, points, .. } in &self.lines {
            if let [[from, first], .., [to, last]] = points.as_slice() {
                let (first, last) = (figures(*first), figures(*last));
                let _ = write!(words, "; {name}: {first} at step {from}, {last} at step {to}");
            }
        }
        words
    }
}

fn draw_line(html: &mut Html, line: &Line<'_>, x: &Scale, y: &Scale) {
    let place = |point: &[f64; 2]| [SIDE * x.place(point[0]), SIDE * (1.0 - y.place(point[1]))];
    let mut path = String::new();
    for (index, point) in thinned(&line.points, MOST_POINTS).iter().enumerate() {
        let ([left, top], command) = (place(point), if index == 0 { 'M' } else { 'L' });
        let _ = write!(path, "{command}{left:.1} {top:.1}");
    }
    html.element("path", &[("class", &line.look.class()), ("d", &path)], "");
    if !line.look.has_dots() {
        return;
    }
    for point in thinned(&line.points, MOST_DOTS) {
        // A line without length has round ends, which no stretching turns into ellipses.
        let [left, top] = place(&point);
        html.open(
            "path",
            &[
                ("class", &format_args!("{} dot", line.look.class())),
                ("d", &format_args!("M{left:.1} {top:.1}h0")),
            ],
        );
        html.element("title", &[], format_args!("{}, step {}: {}", line.name, point[0], figures(point[1])));
        html.close("path");
    }
}

fn grid(y: &Scale) -> String {
    let mut path = String::new();
    for tick in &y.ticks {
        let _ = write!(path, "M0 {:.1}H1000", SIDE * (1.0 - y.place(*tick)));
    }
    path
}

fn ticks(html: &mut Html, axis: &'static str, scale: &Scale) {
    let side = if axis == "x" { "left" } else { "bottom" };
    for tick in &scale.ticks {
        let place = 100.0 * scale.place(*tick);
        html.element(
            "span",
            &[("class", &axis), ("style", &format_args!("{side}:{place:.2}%"))],
            figures(*tick),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(lines: Vec<Line<'_>>) -> String {
        let mut html = Html::default();
        Chart { title: "Loss", note: "", steps: 100, lines }.draw(&mut html);
        html.finish()
    }

    #[test]
    fn a_chart_shows_its_lines_from_edge_to_edge() {
        let points = vec![[0.0, 1.0], [50.0, f64::NAN], [100.0, 0.0]];
        let html = drawn(vec![Line { name: "fixed", look: Look::First, points }]);
        assert!(html.contains("d=\"M0.0 0.0L1000.0 1000.0\""), "{html}");
        assert!(html.contains("<title>fixed, step 100: 0</title>"), "{html}");
        assert!(
            html.contains("aria-label=\"Loss, over 100 steps; fixed: 1 at step 0, 0 at step 100\""),
            "{html}"
        );
        assert!(!html.contains("legend"), "one line needs none");
    }

    #[test]
    fn nothing_is_drawn_of_nothing_and_few_points_of_many() {
        assert_eq!(drawn(vec![Line { name: "a", look: Look::Raw, points: vec![[1.0, f64::NAN]] }]), "");
        let points = (0..20_000).map(|step| [f64::from(step), f64::from(step % 11)]).collect();
        let html = drawn(vec![Line { name: "a", look: Look::First, points }]);
        assert!(html.len() < 40_000, "{}", html.len());
    }
}
