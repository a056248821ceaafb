//! What the numbers say, by simple rules that are told with the result.

use super::{
    Stand,
    health::Health,
    history::{History, Preview},
    numbers::figures,
};

/// Whether something is as it should be, or is to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Good,
    Look,
}

/// A fixed loss that fell by less than this share has not really fallen.
const FALL: f64 = 0.02;
/// A held-out loss this share above its lowest has risen again.
const RISE: f64 = 0.02;
/// A seam this many times that of the source shows.
const SEAM: f64 = 1.5;

/// Below this PSNR of the kept region, in dB, what the decoder gives is no picture of its source.
const NO_PICTURE: f64 = 15.0;

/// Everything that there is to say, in the order of a run.
pub(super) fn of(stand: &Stand<'_>, history: &History) -> Vec<(Level, String)> {
    let found =
        [data(stand), learning(stand, history), memorising(history), previews(history), soundness(stand)];
    found.into_iter().flatten().collect()
}

fn data(stand: &Stand<'_>) -> Option<(Level, String)> {
    let (dropped, warnings) = (stand.report.dropped.len(), stand.report.warnings.len());
    let said = match (dropped, warnings) {
        (0, 0) => return Some((Level::Good, "No warning about the data.".to_owned())),
        (0, _) => format!("{warnings} warnings, listed under Data."),
        _ => format!("{dropped} clips were dropped, and there are {warnings} warnings, listed under Data."),
    };
    Some((Level::Look, said))
}

fn learning(stand: &Stand<'_>, history: &History) -> Option<(Level, String)> {
    let [first, .., last] = history.evaluations.as_slice() else { return None };
    let fell = 1.0 - last.fixed / first.fixed;
    let (from, to) = (figures(first.fixed), figures(last.fixed));
    if fell > FALL {
        let said = format!("The loss on fixed draws fell from {from} to {to}: the LoRA learns its examples.");
        return Some((Level::Good, said));
    }
    let advice = if stand.is_finished { ": more steps, or a higher learning rate" } else { " so far" };
    Some((Level::Look, format!("The loss on fixed draws hardly moved, from {from} to {to}{advice}.")))
}

fn memorising(history: &History) -> Option<(Level, String)> {
    let held_out: Vec<(u64, f64)> =
        history.evaluations.iter().filter_map(|at| Some((at.step, at.held_out?))).collect();
    let [(_, first), .., (_, last)] = held_out.as_slice() else {
        let said =
            "No example was held out, so this page cannot tell learning from memorising (holdout_examples).";
        return (history.evaluations.len() > 1).then(|| (Level::Look, said.to_owned()));
    };
    let (step, lowest) = held_out.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1))?;
    if *last > lowest * (1.0 + RISE) {
        let (lowest, last) = (figures(lowest), figures(*last));
        let said = format!(
            "The loss on held-out examples was lowest at step {step} ({lowest}) and is {last} now: the LoRA has begun \
             to memorise. Fewer steps, more clips, or a lower rank."
        );
        return Some((Level::Look, said));
    }
    match *last < first * (1.0 - FALL) {
        true => Some((
            Level::Good,
            "The loss on held-out examples fell, too: what is learnt carries over.".to_owned(),
        )),
        false => Some((
            Level::Look,
            "The loss on held-out examples hardly moved: what is learnt does not carry over yet.".to_owned(),
        )),
    }
}

/// The previews after the last step that has any.
fn latest(history: &History) -> impl Iterator<Item = &Preview> {
    let last = history.previews.last().map(|preview| preview.step);
    history.previews.iter().filter(move |preview| Some(preview.step) == last).map(|preview| &preview.preview)
}

/// Noise has no seam.
fn previews(history: &History) -> Option<(Level, String)> {
    let kept = latest(history).filter_map(|preview| preview.kept_psnr).min_by(f64::total_cmp);
    match kept.filter(|kept| *kept < NO_PICTURE) {
        Some(kept) => Some((
            Level::Look,
            format!(
                "The previews are no pictures: even the kept region comes out of the decoder at {kept:.1} dB, as with a \
                 model of random weights."
            ),
        )),
        None => seams(history),
    }
}

fn seams(history: &History) -> Option<(Level, String)> {
    let ratios = latest(history)
        .filter_map(|preview| Some((preview.sample, preview.seam? / preview.source_seam?.max(1e-6))));
    let (sample, ratio) = ratios.max_by(|a, b| a.1.total_cmp(&b.1))?;
    let ratio_said = format!("{ratio:.1} times as strong as in its source");
    match ratio > SEAM {
        true => Some((Level::Look, format!("In preview {sample} the mask's edge shows: {ratio_said}."))),
        false => Some((
            Level::Good,
            format!("The mask's edge does not stand out in the previews (at most {ratio_said})."),
        )),
    }
}

fn soundness(stand: &Stand<'_>) -> Option<(Level, String)> {
    match &stand.health {
        Health::Unknown => None,
        Health::Sound(modules) => Some((
            Level::Good,
            format!("All {} modules of the LoRA are finite, and each does something.", modules.len()),
        )),
        Health::Unsound(modules) => Some((
            Level::Look,
            format!("{} modules of the LoRA are not finite or do nothing.", modules.len()),
        )),
    }
}

#[cfg(test)]
mod tests {
    use crate::{FitReport, timings::Timings};

    use super::*;

    fn said(lines: &[&str]) -> Vec<(Level, String)> {
        let report = FitReport::default();
        let timings = Timings::default();
        let stand = Stand { step: 9, is_finished: true, report: &report, health: Health::Unknown, timings };
        of(&stand, &History::of(&lines.join("\n")))
    }

    fn evaluated(step: u64, fixed: f64, held_out: Option<f64>) -> String {
        let by_sigma = [fixed; 4];
        serde_json::json!({
            "step": step, "fixed_loss": fixed, "fixed_loss_by_sigma": by_sigma, "holdout_loss": held_out,
            "holdout_loss_by_sigma": held_out.map(|loss| [loss; 4]),
        })
        .to_string()
    }

    #[test]
    fn learning_and_memorising_are_told_apart() {
        let runs = [
            (
                [(4.0, Some(4.0)), (3.0, Some(3.5)), (2.0, Some(3.0))],
                [Level::Good, Level::Good],
                "carries over",
            ),
            (
                [(4.0, Some(4.0)), (3.0, Some(3.2)), (2.0, Some(3.9))],
                [Level::Good, Level::Look],
                "lowest at step 1",
            ),
            (
                [(4.0, Some(4.0)), (4.0, Some(4.0)), (3.99, Some(4.0))],
                [Level::Look, Level::Look],
                "hardly moved",
            ),
            ([(4.0, None), (3.0, None), (2.0, None)], [Level::Good, Level::Look], "holdout_examples"),
        ];
        for (losses, levels, word) in runs {
            let lines: Vec<String> =
                (0..).zip(losses).map(|(step, (fixed, held_out))| evaluated(step, fixed, held_out)).collect();
            let said = said(&lines.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!([said[1].0, said[2].0], levels, "{said:?}");
            assert!(said[2].1.contains(word), "{said:?}");
        }
    }

    #[test]
    fn nothing_is_said_of_what_is_not_known() {
        assert_eq!(said(&[]), [(Level::Good, "No warning about the data.".to_owned())]);
        assert_eq!(said(&[&evaluated(0, 4.0, None)]).len(), 1, "one evaluation says nothing");
    }

    #[test]
    fn noise_is_called_noise_and_has_no_seam() {
        let preview = |step: u64, kept: f64| {
            serde_json::json!({"step": step, "preview": {
                "sample": 1, "prompt": "", "still": "", "kept_psnr": kept, "seam": 0.2, "source_seam": 1.0, "seconds": 1.0,
            }})
            .to_string()
        };
        let of = |kept: f64| said(&[&preview(0, 30.0), &preview(5, kept)]);
        assert_eq!(of(7.66)[1].0, Level::Look);
        assert!(of(7.66)[1].1.contains("no pictures") && of(7.66)[1].1.contains("7.7 dB"), "{:?}", of(7.66));
        assert_eq!(of(15.5)[1].0, Level::Good);
        assert!(of(15.5)[1].1.contains("edge"), "{:?}", of(15.5));
    }

    #[test]
    fn the_worst_seam_of_the_last_previews_counts() {
        let preview = |step: u64, sample: usize, seam: f64| {
            serde_json::json!({"step": step, "preview": {
                "sample": sample, "prompt": "", "still": "", "seam": seam, "source_seam": 1.0, "seconds": 1.0,
            }})
            .to_string()
        };
        let lines = [preview(0, 1, 9.0), preview(5, 1, 1.1), preview(5, 2, 1.9)];
        let said = said(&lines.each_ref().map(String::as_str));
        assert_eq!(
            said[1],
            (
                Level::Look,
                "In preview 2 the mask's edge shows: 1.9 times as strong as in its source.".to_owned()
            )
        );
    }
}
