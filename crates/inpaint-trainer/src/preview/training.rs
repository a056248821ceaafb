//! Previews in the course of a training.

use std::{
    error::Error,
    fs,
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    time::Instant,
};

use lora_train::{CacheEntry, Digest, LatentCache};
use ltx_model::{Transformer, TransformerLora};
use tensor_batch::{ClipSource, FittedClip};
use video_fit::Sound;

use super::{
    PreviewReport,
    files::{self, Names},
    painter::{Painter, Sample},
    reel,
};
use crate::{
    Event, Limits, ProcessMemory, TrainOptions, Warning, answer::chain, clips::FittedClips, event::StageWatch,
};

/// What makes the previews of a run.
pub(crate) struct Previews<'a> {
    pub(crate) painter: Painter<'a>,
    pub(crate) model: &'a Transformer,
    /// The samples; what the encoders made of them is `entries`, in the same order.
    pub(crate) samples: &'a FittedClips,
    pub(crate) entries: &'a [CacheEntry],
    /// The context of what shall not be seen.
    pub(crate) negative: Digest,
    pub(crate) latents: &'a LatentCache,
    pub(crate) options: &'a TrainOptions,
    /// Optimiser steps of the run.
    pub(crate) steps: u32,
    pub(crate) out: &'a Path,
    pub(crate) limits: &'a Limits,
}

/// What previews tell; `Break` ends the run.
pub(crate) trait Told {
    /// Whether a preview of this sample after this step was told before.
    fn has(&self, step: u64, sample: usize) -> bool;
    /// A preview was made.
    fn made(&mut self, report: &PreviewReport) -> ControlFlow<()>;
    /// Something that the user should know.
    fn warned(&mut self, warning: &Warning);
    /// There is no picture, or no reel.
    fn failed(&mut self, warning: &Warning) -> ControlFlow<()>;
}

/// Why there is no preview.
enum Missing {
    /// The run was asked to stop.
    Stopped,
    Failed(Box<dyn Error>),
}

impl<E: Error + 'static> From<E> for Missing {
    fn from(error: E) -> Self {
        Self::Failed(Box::new(error))
    }
}

impl Previews<'_> {
    /// Whether a preview belongs after this many steps.
    fn is_due(&self, step: u64) -> bool {
        !self.samples.is_empty() && self.options.has_previews_after(step, self.steps)
    }

    /// Makes the previews that belong after `step` and were not told yet, and then the reel. What fails is a warning,
    /// unless `told` ends the run for it.
    pub(crate) fn make_if_due(
        &self,
        step: u64,
        lora: &TransformerLora,
        told: &mut dyn Told,
        watch: &mut StageWatch<'_, '_>,
    ) -> ControlFlow<()> {
        let missing = |sample: &usize| !told.has(step, *sample);
        let due: Vec<usize> = (1..=self.samples.len()).filter(missing).collect();
        if !self.is_due(step) || due.is_empty() {
            return ControlFlow::Continue(());
        }
        for sample in due {
            match contained(|| self.make(step, sample, lora, watch)) {
                Ok((report, sound)) => {
                    if let Sound::LeftOut { codec } = sound
                        && step == 0
                    {
                        let warning = left_out(sample, codec);
                        watch.warn(&warning);
                        told.warned(&warning);
                    }
                    told.made(&report)?;
                    watch.tell(Event::Previewed(report))?;
                }
                Err(Missing::Stopped) => return ControlFlow::Break(()),
                Err(Missing::Failed(error)) => {
                    fail(&failed(sample, step, &chain(error.as_ref())), told, watch)?;
                }
            }
        }
        if let Err(Missing::Failed(error)) = contained(|| self.reel(step)) {
            let message = format!("the reel after step {step} was not written: {}", chain(error.as_ref()));
            fail(&Warning::new("validation", "reel-failed", message), told, watch)?;
        }
        watch.go_on()
    }

    fn make(
        &self,
        step: u64,
        number: usize,
        lora: &TransformerLora,
        watch: &mut StageWatch<'_, '_>,
    ) -> Result<(PreviewReport, Sound), Missing> {
        let (start, index) = (Instant::now(), number - 1);
        let fitted = self.samples.get(index)?;
        let entry = self.entries.get(index).ok_or("a sample that was not encoded").map_err(failure)?;
        let sample = Sample {
            fitted: &fitted,
            latents: self.latents.read(entry)?,
            negative: self.latents.context(&self.negative)?,
            index,
        };
        let total = self.painter.plan.schedule.steps as u64;
        let mut observe =
            |done| watch.tell(Event::Sampling { step, sample: number, done: done as u64, total });
        let plain = self.painter.plain(self.model, Some(lora), &sample, &mut observe)?;
        let plain = plain.ok_or(Missing::Stopped)?;
        let composited = self.painter.composited(&fitted, &plain)?;
        let names = Names::of(step, number);
        fs::create_dir_all(self.out.join(files::FOLDER))?;
        let of = &self.samples.examples()[index];
        let video = |name: &str, frames| files::write_video(&self.out.join(name), frames, of, self.limits);
        video(&names.plain, plain.view())?;
        let sound = video(&names.video, composited.view())?;
        files::write_still(&self.out.join(&names.still), composited.view())?;
        files::write_source_stills(self.out, number, &fitted)?;
        let memory = ProcessMemory::now();
        let report = PreviewReport {
            step,
            sample: number,
            prompt: prompt(&fitted),
            video: names.video,
            plain: names.plain,
            still: names.still,
            numbers: self.painter.numbers(&fitted, &plain, &composited),
            seconds: start.elapsed().as_secs_f64(),
            memory: memory.map(|memory| memory.held),
            peak_memory: memory.map(|memory| memory.peak),
        };
        Ok((report, sound))
    }

    fn reel(&self, step: u64) -> Result<(), Missing> {
        let indices = 0..self.samples.len();
        let clips = indices.map(|index| self.samples.get(index)).collect::<Result<Vec<_>, _>>()?;
        let prompts: Vec<String> = clips.iter().map(prompt).collect();
        let rows: Vec<reel::Row<'_>> = (1..)
            .zip(clips.iter().zip(&prompts))
            .map(|(number, (fitted, prompt))| reel::Row { fitted, number, prompt })
            .collect();
        Ok(reel::write(self.out, &rows, step, self.steps.into(), &self.limits.video)?)
    }
}

/// A failure that does not end the run is a warning.
fn fail(failure: &Warning, told: &mut dyn Told, watch: &mut StageWatch<'_, '_>) -> ControlFlow<()> {
    told.failed(failure)?;
    watch.warn(failure);
    ControlFlow::Continue(())
}

fn prompt(fitted: &FittedClip) -> String {
    fitted.caption().map(|caption| caption.as_str().to_owned()).unwrap_or_default()
}

fn failure(reason: &'static str) -> Missing {
    Missing::Failed(reason.into())
}

/// A preview must not cost the run: back ends and decoders may panic where memory ends.
fn contained<T>(work: impl FnOnce() -> Result<T, Missing>) -> Result<T, Missing> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(Missing::Failed(text.unwrap_or_else(|| "a panic".to_owned()).into()))
    })
}

fn failed(sample: usize, step: u64, why: &str) -> Warning {
    let message = format!("there is no preview of sample {sample} after step {step}: {why}");
    Warning::new(format!("validation {sample}"), "preview-failed", message)
}

fn left_out(sample: usize, codec: &str) -> Warning {
    let message = format!(
        "the sound of sample {sample} is {codec}, which an mp4 cannot hold as it is: previews are silent"
    );
    Warning::new(format!("validation {sample}"), "sound-left-out", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(work: impl FnOnce() -> Result<(), Missing>) -> String {
        match contained(work) {
            Ok(()) => "nothing".to_owned(),
            Err(Missing::Stopped) => "stopped".to_owned(),
            Err(Missing::Failed(error)) => chain(error.as_ref()),
        }
    }

    #[test]
    fn errors_and_panics_of_a_preview_end_with_it() {
        let io = std::io::Error::other("the disk is full");
        assert_eq!(why(|| Err(io.into())), "the disk is full");
        assert_eq!(why(|| Err(Missing::Stopped)), "stopped");
        assert_eq!(why(|| panic!("no memory of {} bytes", 7)), "no memory of 7 bytes");
        assert_eq!(why(|| std::panic::panic_any(7)), "a panic");
    }

    #[test]
    fn a_failed_preview_names_its_sample_and_its_step() {
        let warning = failed(2, 300, "no encoder");
        assert_eq!((warning.name.as_str(), warning.kind), ("validation 2", "preview-failed"));
        assert_eq!(warning.message, "there is no preview of sample 2 after step 300: no encoder");
    }
}
