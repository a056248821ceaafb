//! `metrics.jsonl` and TensorBoard's event file: what training tells, written as it happens.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use lora_train::{EventFile, Losses, TrainEvent, write_whole};
use serde_json::{Value, json};

use crate::{PreviewNumbers, PreviewReport, ProcessMemory};

/// Lines of JSON.
pub(crate) const METRICS: &str = "metrics.jsonl";
/// TensorBoard looks for `tfevents` in names.
pub(crate) const EVENTS: &str = "events.out.tfevents.inpaint";

const QUARTERS: [&str; 4] = ["0-0.25", "0.25-0.5", "0.5-0.75", "0.75-1"];

/// The files, open for the run.
#[derive(Debug)]
pub(crate) struct Metrics {
    lines: File,
    events: EventFile,
    /// Step and sample of every preview that was told.
    previews: Vec<(u64, u64)>,
}

impl Metrics {
    /// Opens the files in `out` for a run that stands after `step`. What they say of later steps, which are done
    /// again, is removed.
    pub(crate) fn open(out: &Path, step: usize) -> io::Result<Self> {
        let path = out.join(METRICS);
        let kept = kept(&path, step)?;
        write_whole(&path, kept.as_bytes())?;
        let lines = OpenOptions::new().append(true).open(&path)?;
        let path = out.join(EVENTS);
        let events = match step {
            0 => EventFile::create(&path, now()),
            step => EventFile::resume(&path, step, now()),
        };
        Ok(Self { lines, events: events?, previews: previews(&kept) })
    }

    /// Whether a preview of this sample, counted from 1, after this step was told, by an earlier process too.
    pub(crate) fn has_preview(&self, step: u64, sample: usize) -> bool {
        self.previews.contains(&(step, sample as u64))
    }

    /// Appends what there is to say of a preview.
    pub(crate) fn write_preview(&mut self, report: &PreviewReport) -> io::Result<()> {
        let line = json!({ "step": report.step, "preview": report });
        writeln!(self.lines, "{line}")?;
        self.previews.push((report.step, report.sample as u64));
        let scalars = preview_scalars(report.sample, &report.numbers);
        let scalars: Vec<(&str, f64)> = scalars.iter().map(|(tag, value)| (tag.as_str(), *value)).collect();
        self.events.write(report.step as usize, now(), &scalars)
    }

    /// Appends what training tells. It is written at once, so that a killed run leaves what it had.
    pub(crate) fn write(&mut self, event: &TrainEvent) -> io::Result<()> {
        let (line, step, scalars) = match event {
            TrainEvent::Step(report) => {
                let memory = ProcessMemory::now();
                let mut scalars = vec![
                    ("loss/step".to_owned(), report.loss),
                    ("step/learning rate".to_owned(), report.learning_rate),
                    ("step/gradient norm".to_owned(), report.grad_norm),
                    ("step/seconds".to_owned(), report.time.as_secs_f64()),
                    ("step/tokens per second".to_owned(), report.tokens as f64 / report.time.as_secs_f64()),
                ];
                if let Some(ProcessMemory { held, peak }) = memory {
                    let mib = |bytes| bytes as f64 / f64::from(1 << 20);
                    scalars.push(("memory/held MiB".to_owned(), mib(held)));
                    scalars.push(("memory/peak MiB".to_owned(), mib(peak)));
                }
                (step_line(report, memory), report.step, scalars)
            }
            TrainEvent::Evaluated(at) => (evaluation_line(at), at.step, evaluation_scalars(at)),
            _ => return Ok(()),
        };
        // In one go, so that a kill seldom cuts a line short.
        self.lines.write_all(format!("{line}\n").as_bytes())?;
        let scalars: Vec<(&str, f64)> = scalars.iter().map(|(tag, value)| (tag.as_str(), *value)).collect();
        self.events.write(step, now(), &scalars)
    }
}

/// The lines up to `step`; none before the first step, which is evaluated anew. A line that was cut short ends them.
fn kept(path: &Path, step: usize) -> io::Result<String> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        read => read?,
    };
    let stays = |line: &&str| {
        let line = line.strip_suffix('\n').and_then(|line| serde_json::from_str::<Value>(line).ok());
        let at = line.and_then(|line| line["step"].as_u64());
        step > 0 && at.is_some_and(|at| at <= step as u64)
    };
    Ok(text.split_inclusive('\n').take_while(stays).collect())
}

/// The previews that these lines tell of.
fn previews(lines: &str) -> Vec<(u64, u64)> {
    let lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter_map(|line| Some((line["step"].as_u64()?, line["preview"]["sample"].as_u64()?))).collect()
}

fn preview_scalars(sample: usize, numbers: &PreviewNumbers) -> Vec<(String, f64)> {
    let named = [
        ("kept psnr", numbers.kept_psnr),
        ("kept ssim", numbers.kept_ssim),
        ("white psnr", numbers.white_psnr),
        ("white ssim", numbers.white_ssim),
        ("seam", numbers.seam),
    ];
    named.into_iter().filter_map(|(name, value)| Some((format!("preview {sample}/{name}"), value?))).collect()
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64()
}

fn step_line(report: &lora_train::StepReport, memory: Option<ProcessMemory>) -> Value {
    json!({
        "step": report.step,
        "loss": report.loss,
        "sigma": report.sigma,
        "lr": report.learning_rate,
        "grad_norm": report.grad_norm,
        "step_time": report.time.as_secs_f64(),
        "tokens_per_second": report.tokens as f64 / report.time.as_secs_f64(),
        "memory": memory.map(|memory| memory.held),
        "peak_memory": memory.map(|memory| memory.peak),
    })
}

fn evaluation_line(at: &lora_train::Evaluation) -> Value {
    json!({
        "step": at.step,
        "fixed_loss": at.fixed.mean,
        "fixed_loss_by_sigma": at.fixed.by_sigma,
        "holdout_loss": at.holdout.map(|losses| losses.mean),
        "holdout_loss_by_sigma": at.holdout.map(|losses| losses.by_sigma),
        "mean_loss": at.steps.map(|losses| losses.mean),
        "mean_loss_by_sigma": at.steps.map(|losses| losses.by_sigma),
    })
}

fn evaluation_scalars(at: &lora_train::Evaluation) -> Vec<(String, f64)> {
    let named = [("fixed", Some(at.fixed)), ("held out", at.holdout), ("mean of steps", at.steps)];
    let of = |(name, losses): (&str, Option<Losses>)| {
        let losses = losses?;
        let quarters = QUARTERS.iter().zip(losses.by_sigma);
        let quarters =
            quarters.filter_map(|(quarter, loss)| Some((format!("loss by sigma/{name} {quarter}"), loss?)));
        Some([(format!("loss/{name}"), losses.mean)].into_iter().chain(quarters).collect::<Vec<_>>())
    };
    named.into_iter().filter_map(of).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preview_that_was_told_is_known_until_its_step_is_done_again() {
        let dir = tempfile::tempdir().unwrap();
        let numbers = PreviewNumbers {
            kept_psnr: Some(20.5),
            kept_ssim: Some(0.5),
            white_psnr: None,
            white_ssim: None,
            seam: Some(1.5),
            source_seam: Some(1.0),
            kept_pixels: 9,
            kept_differing: 0,
        };
        let text = |name: &str| name.to_owned();
        let report = PreviewReport {
            step: 2,
            sample: 1,
            prompt: text("a fox"),
            video: text("a.mp4"),
            plain: text("a-plain.mp4"),
            still: text("a.jpg"),
            numbers,
            seconds: 0.25,
            memory: Some(3),
            peak_memory: None,
        };
        Metrics::open(dir.path(), 0).unwrap().write_preview(&report).unwrap();
        let line = fs::read_to_string(dir.path().join(METRICS)).unwrap();
        let wanted = json!({"step": 2, "preview": {
            "sample": 1, "prompt": "a fox", "video": "a.mp4", "plain": "a-plain.mp4", "still": "a.jpg",
            "kept_psnr": 20.5, "kept_ssim": 0.5, "white_psnr": null, "white_ssim": null, "seam": 1.5,
            "source_seam": 1.0, "kept_pixels": 9, "kept_differing": 0, "seconds": 0.25,
            "memory": 3, "peak_memory": null,
        }});
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), wanted);
        let metrics = Metrics::open(dir.path(), 2).unwrap();
        assert!(metrics.has_preview(2, 1) && !metrics.has_preview(2, 2) && !metrics.has_preview(1, 1));
        assert!(!Metrics::open(dir.path(), 1).unwrap().has_preview(2, 1));
    }

    #[test]
    fn lines_after_the_step_and_a_line_cut_short_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(METRICS);
        let lines = "{\"step\":0}\n{\"step\":1}\n{\"step\":2}\n{\"step\":2,\"fixed_loss\":1}\n{\"step\":3}\n";
        fs::write(&path, format!("{lines}{{\"step\":4")).unwrap();
        for (step, length) in [(9, 70), (3, 70), (2, 59), (1, 22), (0, 0)] {
            Metrics::open(dir.path(), step).unwrap();
            let wanted = &lines[..length];
            assert_eq!(fs::read_to_string(&path).unwrap(), wanted, "after step {step}");
        }
    }
}
