//! One video inpainted on its own, with a LoRA or without.

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use lora_train::{LatentCacheWriter, read_lora};
use ltx_model::{Checkpoint, TextEncoder, Transformer, TransformerConfig, VideoDecoder, VideoEncoder};
use serde::Serialize;
use tensor_batch::ClipSource;
use video_fit::Sound;

use super::{
    PreviewNumbers, files,
    painter::{Painter, Sample},
};
use crate::{
    FitReport, OutFile, RunError, Settings, Stage, TrainOptions, TrainRequest, Warning, Watch,
    clips::FittedClips,
    encode::{Data, Encoders},
    identity::Identity,
    memory,
    out::Work,
    validation,
};

/// A video that was inpainted on its own.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Preview {
    /// The result: generated where the mask is white, the source elsewhere, with the source's sound.
    pub video: OutFile,
    /// The decoder's output as it is.
    pub plain: OutFile,
    /// What can be told of it by numbers.
    pub numbers: PreviewNumbers,
    /// What the user should know.
    pub warnings: Vec<Warning>,
}

/// Inpaints the first validation sample of `request`, with the adapters in the file `lora` or without any, as previews
/// during a training are made. The result is `target`, an mp4; the decoder's own output lies beside it. Costs 0 units.
///
/// `settings.out` is not used, nor is the training data of the request.
///
/// # Errors
/// If the request has no sample, its data or the LoRA cannot be used, it does not fit into memory, or the machine fails.
pub fn preview(
    request: &TrainRequest,
    options: &TrainOptions,
    settings: &Settings,
    lora: Option<&Path>,
    target: &Path,
    watch: &mut Watch<'_>,
) -> Result<Preview, RunError> {
    let failed = |e| RunError::of(Stage::Preview, e);
    let base = Checkpoint::open(&settings.checkpoint).map_err(failed)?;
    let config = TransformerConfig::of(&base).map_err(failed)?;
    ltx_model::check_device(&settings.device).map_err(failed)?;
    Transformer::check(&base, &settings.device).map_err(failed)?;
    VideoEncoder::check(&base, &settings.device).map_err(failed)?;
    VideoDecoder::check(&base, &settings.device).map_err(failed)?;
    TextEncoder::check(&settings.text_encoder, &base, &settings.device).map_err(failed)?;
    let lora = lora.map(|path| read_lora(path, &config, &settings.device)).transpose();
    let lora = lora.map_err(|e| RunError::of(Stage::Preview, e))?;

    let work = Work::beside(target)?;
    let mut report = FitReport::default();
    let samples = watch.stage(Stage::Validation, request.validation().len(), |watch| {
        let (rule, limits) = (options.latent_rule(), &settings.limits);
        validation::check(request, rule, work.path(), limits, &mut report, watch)
    })?;
    let samples = FittedClips::new(samples, &settings.limits);
    let clips = FittedClips::new(Vec::new(), &settings.limits);
    let data = Data { clips: &clips, samples: &samples, stored: None, bucket: request.validation_bucket() };
    let job =
        memory::preview_job(request, settings, &base, [&clips, &samples], lora.as_ref()).map_err(failed)?;
    let cuts = memory::planned(&job, settings, watch).map_err(|e| RunError::of(Stage::Preview, e))?.cuts;
    let identity = Identity::of(&data, request, settings)?;
    let encoders =
        Encoders { checkpoint: &base, text_encoder: &settings.text_encoder, device: &settings.device, cuts };
    let cache = LatentCacheWriter::open(&work.path().join("latents"))
        .map_err(|e| RunError::of(Stage::EncodeClips, e))?;
    let latents = encoders.encode(&data, &identity, cache, None, watch)?;

    let none = || RunError::Failed { stage: Stage::Preview, source: "there is no sample".into() };
    let (entry, negative) = identity.samples.first().zip(identity.negative).ok_or_else(none)?;
    let fitted = samples.get(0).map_err(|e| RunError::of(Stage::Preview, e))?;
    let cached = |e| RunError::of(Stage::Preview, e);
    let sample = Sample {
        fitted: &fitted,
        latents: latents.read(entry).map_err(cached)?,
        negative: latents.context(&negative).map_err(cached)?,
        index: 0,
    };
    let painter = Painter::new(&base, &settings.device, request, options, cuts);
    let plain = watch.stage(Stage::Preview, painter.plan.schedule.steps, |watch| {
        let Settings { device, base_precision, offload, .. } = settings;
        let model = Transformer::load_beside(&base, device, *base_precision, *offload).map_err(failed)?;
        let mut stopped = None;
        let mut observe = |done| match watch.done(done) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                stopped = Some(error);
                ControlFlow::Break(())
            }
        };
        let plain = painter.plain(&model, lora.as_ref(), &sample, &mut observe);
        let plain =
            plain.map_err(|source| RunError::Failed { stage: Stage::Preview, source: source.into() })?;
        plain.ok_or_else(|| stopped.unwrap_or(RunError::Interrupted))
    })?;

    watch.stage(Stage::Publish, 1, |_| {
        let shape = |e: tensor_batch::ShapeMismatch| RunError::of(Stage::Publish, e);
        let composited = painter.composited(&fitted, &plain).map_err(shape)?;
        let write = |path: &Path, frames| {
            files::write_video(path, frames, &samples.examples()[0], &settings.limits)
                .map_err(|source| RunError::Failed { stage: Stage::Publish, source: source.into() })
        };
        let beside = files::plain_beside(target);
        write(&beside, plain.view())?;
        if let Sound::LeftOut { codec } = write(target, composited.view())? {
            let message =
                format!("the sound is {codec}, which an mp4 cannot hold as it is: the result is silent");
            report.warnings.push(Warning::new("video", "sound-left-out", message));
        }
        let file =
            |path: &PathBuf| OutFile::of(path, "video/mp4").map_err(RunError::io(Stage::Publish, path));
        Ok(Preview {
            video: file(&target.to_owned())?,
            plain: file(&beside)?,
            numbers: painter.numbers(&fitted, &plain, &composited),
            warnings: report.warnings.clone(),
        })
    })
}
