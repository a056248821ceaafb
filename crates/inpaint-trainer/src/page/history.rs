//! What the run has told so far: `metrics.jsonl`, read back, so that a page is whole after a resume, too.

use std::{fs, io, path::Path};

use serde::Deserialize;
use serde_json::Value;

/// The lines of a run, by kind, each in the order of its steps.
#[derive(Debug, Default, PartialEq)]
pub(super) struct History {
    pub(super) steps: Vec<Step>,
    pub(super) evaluations: Vec<Evaluated>,
    pub(super) previews: Vec<Previewed>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Step {
    pub(super) step: u64,
    pub(super) loss: f64,
    pub(super) lr: f64,
    pub(super) grad_norm: f64,
    pub(super) step_time: f64,
    pub(super) tokens_per_second: f64,
    /// Bytes that the process held at most until then; none where the system does not tell.
    #[serde(default)]
    pub(super) peak_memory: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Evaluated {
    pub(super) step: u64,
    #[serde(rename = "fixed_loss")]
    pub(super) fixed: f64,
    #[serde(rename = "fixed_loss_by_sigma")]
    pub(super) fixed_by_sigma: [Option<f64>; 4],
    #[serde(rename = "holdout_loss")]
    pub(super) held_out: Option<f64>,
    #[serde(default, rename = "holdout_loss_by_sigma")]
    pub(super) held_out_by_sigma: Option<[Option<f64>; 4]>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Previewed {
    pub(super) step: u64,
    pub(super) preview: Preview,
}

/// A sample, inpainted.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Preview {
    /// Counted from 1.
    pub(super) sample: usize,
    pub(super) prompt: String,
    /// A strip of its frames, a path inside the folder of the results.
    pub(super) still: String,
    pub(super) kept_psnr: Option<f64>,
    pub(super) kept_ssim: Option<f64>,
    pub(super) white_psnr: Option<f64>,
    pub(super) white_ssim: Option<f64>,
    pub(super) seam: Option<f64>,
    pub(super) source_seam: Option<f64>,
    pub(super) seconds: f64,
    /// Bytes that the process held at most until then; none where the system does not tell.
    #[serde(default)]
    pub(super) peak_memory: Option<u64>,
}

impl History {
    /// Reads the lines of `path`; none if there is no such file. A line of another kind is left out.
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            read => Ok(Self::of(&read?)),
        }
    }

    pub(super) fn of(lines: &str) -> Self {
        let mut history = Self::default();
        for line in lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            if line.get("preview").is_some() {
                history.previews.extend(serde_json::from_value(line).ok());
            } else if line.get("fixed_loss").is_some() {
                history.evaluations.extend(serde_json::from_value(line).ok());
            } else if line.get("loss").is_some() {
                history.steps.extend(serde_json::from_value(line).ok());
            }
        }
        history
    }

    /// A value of every step.
    pub(super) fn of_steps(&self, value: fn(&Step) -> f64) -> Vec<[f64; 2]> {
        self.steps.iter().map(|step| [step.step as f64, value(step)]).collect()
    }
}

/// Values of steps, smoothed: an average whose weights fall by half in a fiftieth of the run, and in no less than five
/// steps.
pub(super) fn smoothed(points: &[[f64; 2]]) -> Vec<[f64; 2]> {
    let half_life = (points.len() as f64 / 50.0).max(5.0);
    let keep = 0.5f64.powf(1.0 / half_life);
    let (mut sum, mut weight) = (0.0, 0.0);
    let average = |[step, value]: &[f64; 2]| {
        sum = keep * sum + value;
        weight = keep * weight + 1.0;
        [*step, sum / weight]
    };
    points.iter().map(average).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = r#"
{"step":0,"fixed_loss":4.0,"fixed_loss_by_sigma":[null,1.0,2.0,null],"holdout_loss":null,"holdout_loss_by_sigma":null,"mean_loss":null}
{"step":1,"loss":3.0,"sigma":0.5,"lr":0.0002,"grad_norm":1.0,"step_time":0.2,"tokens_per_second":9.5,"peak_memory":7}
{"step":1,"preview":{"sample":1,"prompt":"a","video":"v","plain":"p","still":"s.jpg","kept_psnr":21.3,"kept_ssim":null,"white_psnr":null,"white_ssim":null,"seam":1.5,"source_seam":1.0,"seconds":3.0}}
{"step":2,"loss":1.0,"lr":0.0002,"grad_norm":1.0,"step_time":0.2,"tokens_per_second":9.5}
{"step":3,"something":"else"}
{"step":4,"lo"#;

    #[test]
    fn lines_of_every_kind_are_read_and_others_left_out() {
        let history = History::of(LINES);
        assert_eq!(history.steps.iter().map(|step| step.peak_memory).collect::<Vec<_>>(), [Some(7), None]);
        assert_eq!(history.evaluations[0].fixed_by_sigma, [None, Some(1.0), Some(2.0), None]);
        let preview = &history.previews[0].preview;
        assert_eq!((preview.still.as_str(), preview.seam, preview.kept_ssim), ("s.jpg", Some(1.5), None));
    }

    #[test]
    fn smoothing_begins_with_the_first_loss_and_keeps_a_constant() {
        let smooth = smoothed(&[[1.0, 3.0], [2.0, 1.0]]);
        assert_eq!(smooth[0], [1.0, 3.0]);
        assert!(smooth[1][1] > 1.0 && smooth[1][1] < 2.0, "{smooth:?}");
        assert!(smoothed(&[[1.0, 3.0]; 9]).iter().all(|[_, loss]| (loss - 3.0).abs() < 1e-12));
    }
}
