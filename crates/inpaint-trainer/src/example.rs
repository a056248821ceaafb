//! One example: surveyed without keeping a pixel, then fitted when asked for.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use dataset_zip::{Example, MaskSource};
use mask_norm::{MaskError, MaskFrame, TimeFit};
use tensor_batch::{
    Blame, Bucket, Caption, Edit, Fault, FitPlan, FittedClip, FrameList, FrameRate, Mask, ShapeMismatch, Stem,
};
use video_fit::{Frames, Probe, VideoError};

use crate::{Limits, Warning, report::ExampleReport};

/// How clips are brought into the bucket.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fit {
    pub(crate) bucket: Bucket,
    pub(crate) frame_rate: FrameRate,
    pub(crate) auto_scale: bool,
    pub(crate) trigger: String,
}

/// Why an example cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExampleError {
    /// The clip cannot be decoded.
    #[error("clip `{stem}` cannot be used")]
    Clip {
        /// The example.
        stem: Stem,
        /// Why.
        #[source]
        source: VideoError,
    },
    /// The mask image, or the mask's frames, cannot be used.
    #[error("the mask of `{stem}` cannot be used")]
    Mask {
        /// The example.
        stem: Stem,
        /// Why.
        #[source]
        source: MaskError,
    },
    /// The mask video cannot be decoded.
    #[error("the mask of `{stem}` cannot be used")]
    MaskVideo {
        /// The example.
        stem: Stem,
        /// Why.
        #[source]
        source: VideoError,
    },
    /// A variable frame rate leaves open which mask frame belongs to which frame of the clip.
    #[error(
        "clip `{stem}` has a variable frame rate and its mask is a video: re-encode the clip at a constant rate, or \
         give an image as its mask"
    )]
    VariableRate {
        /// The example.
        stem: Stem,
    },
    /// An unpacked file is gone.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Clip and mask do not agree after fitting: a mistake of this code.
    #[error(transparent)]
    Shape(#[from] ShapeMismatch),
    /// Every cell of the mask is kept now, and was not when it was surveyed.
    #[error("the mask of `{stem}` has changed while it was used")]
    Changed {
        /// The example.
        stem: Stem,
    },
}

impl Blame for ExampleError {
    fn fault(&self) -> Fault {
        match self {
            Self::Clip { source, .. } | Self::MaskVideo { source, .. } => source.fault(),
            Self::Mask { source, .. } => source.fault(),
            Self::VariableRate { .. } => Fault::Request,
            Self::Io { .. } | Self::Shape(_) | Self::Changed { .. } => Fault::Service,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Clip { source, .. } => source.kind(),
            Self::Mask { source, .. } => source.kind(),
            Self::MaskVideo { source, .. } => match source.kind() {
                "unreadable-clip" | "unprobeable-clip" => "unreadable-mask",
                other => other,
            },
            Self::VariableRate { .. } => "unprobeable-clip",
            Self::Io { .. } => "io",
            Self::Shape(source) => source.kind(),
            Self::Changed { .. } => "changed",
        }
    }
}

/// What a survey of an example finds.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It is used.
    Use(Box<Usable>),
    /// It is no fault of the archive and still of no use.
    Drop(Warning),
}

/// An example that is used, and what there is to say about it.
#[derive(Debug)]
pub(crate) struct Usable {
    pub(crate) example: Surveyed,
    pub(crate) report: ExampleReport,
    pub(crate) warnings: Vec<Warning>,
}

/// An example with its plan; its pixels are on disk.
#[derive(Debug, Clone)]
pub(crate) struct Surveyed {
    stem: Stem,
    clip: PathBuf,
    mask: MaskSource,
    caption: Option<Caption>,
    plan: FitPlan,
    clip_frames: u32,
}

/// Decodes an example once and decides what is taken of it.
pub(crate) fn survey(example: Example, fit: &Fit, limits: &Limits) -> Result<Verdict, ExampleError> {
    let Example { stem, clip, mask, caption } = example;
    let probe = video_fit::probe(&clip, &limits.video)
        .map_err(|source| ExampleError::Clip { stem: stem.clone(), source })?;
    if probe.variable_rate && matches!(mask, MaskSource::Video(_)) {
        return Err(ExampleError::VariableRate { stem });
    }
    let (frames, wanted) = (probe.frames(), fit.bucket.frames());
    let Some(list) = frame_list(&probe, fit) else {
        // The mask of a dropped clip is still part of the archive: if it is broken, that is said now.
        MaskReader::new(&stem, &mask, limits).check()?;
        let message = format!("clip `{stem}` has {frames} frames, {wanted} are wanted: it is not used");
        return Ok(Verdict::Drop(Warning::new(&stem, "clip-too-short", message)));
    };
    let rate = if fit.auto_scale { fit.frame_rate } else { probe.rate };
    let plan = FitPlan::new(probe.size, fit.bucket, list, rate);
    let (edit, time) = MaskReader::new(&stem, &mask, limits).read(&plan, frames)?;
    let Some(latent) = mask_norm::latent_mask(&edit) else {
        let message = format!("the mask of `{stem}` has nothing white inside the crop: the clip is not used");
        return Ok(Verdict::Drop(Warning::new(&stem, "nothing-to-regenerate", message)));
    };
    let report = ExampleReport {
        name: stem.to_string(),
        caption: Caption::prompt(&fit.trigger, caption.as_ref()),
        frames: wanted.get(),
        mask: if matches!(mask, MaskSource::Image(_)) { "image" } else { "video" },
        source_frames: frames,
        source_size: [probe.size.width, probe.size.height],
        frame_rate: rate.fps(),
        cropped: plan.geometry.cut(),
        mask_coverage: edit.coverage(),
        latent_coverage: latent.generated(),
    };
    let warnings = warnings(&stem, &probe, fit, time);
    let example = Surveyed { stem, clip, mask, caption, plan, clip_frames: frames };
    Ok(Verdict::Use(Box::new(Usable { example, report, warnings })))
}

fn frame_list(probe: &Probe, fit: &Fit) -> Option<FrameList> {
    match fit.auto_scale {
        true => FrameList::at_rate(fit.bucket.frames(), fit.frame_rate, &probe.times),
        false => FrameList::first(fit.bucket.frames(), probe.frames()),
    }
}

fn warnings(stem: &Stem, probe: &Probe, fit: &Fit, time: TimeFit) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let (own, asked) = (probe.rate.fps(), fit.frame_rate.fps());
    if !fit.auto_scale && (own / asked - 1.0).abs() > 0.1 {
        let message = format!(
            "clip `{stem}` plays at {own:.3} frames per second, {asked} are asked for: its own rate is used \
             (auto_scale_input would sample it)"
        );
        warnings.push(Warning::new(stem, "frame-rate-differs", message));
    }
    match time {
        TimeFit::Same => {}
        TimeFit::Held { mask_frames, clip_frames } => {
            let message = format!(
                "the mask of `{stem}` has {mask_frames} frames for {clip_frames}: its last one is held"
            );
            warnings.push(Warning::new(stem, "mask-held", message));
        }
        TimeFit::Cut { clip_frames } => {
            let message =
                format!("the mask of `{stem}` is longer than its clip: it is cut to {clip_frames} frames");
            warnings.push(Warning::new(stem, "mask-cut", message));
        }
    }
    warnings
}

impl Surveyed {
    /// The clip and its mask in the bucket.
    pub(crate) fn fitted(&self, limits: &Limits) -> Result<FittedClip, ExampleError> {
        let clip_error = |source| ExampleError::Clip { stem: self.stem.clone(), source };
        let frames = Frames::open(&self.clip, &limits.video).map_err(clip_error)?;
        let clip = video_fit::fit(frames, &self.plan).map_err(clip_error)?;
        let (mask, _) = MaskReader::new(&self.stem, &self.mask, limits).read(&self.plan, self.clip_frames)?;
        let changed = || ExampleError::Changed { stem: self.stem.clone() };
        let latent = mask_norm::latent_mask(&mask).ok_or_else(changed)?;
        Ok(FittedClip::new(self.stem.clone(), clip, mask, latent, self.caption.clone())?)
    }
}

/// Reads the mask of one example.
struct MaskReader<'a> {
    stem: &'a Stem,
    source: &'a MaskSource,
    limits: &'a Limits,
}

impl<'a> MaskReader<'a> {
    fn new(stem: &'a Stem, source: &'a MaskSource, limits: &'a Limits) -> Self {
        Self { stem, source, limits }
    }

    /// The mask in the bucket, and how it was brought to the clip's frame count.
    fn read(&self, plan: &FitPlan, clip_frames: u32) -> Result<(Mask<Edit>, TimeFit), ExampleError> {
        match self.source {
            MaskSource::Image(path) => Ok((self.image(path)?.hold(plan), TimeFit::Same)),
            MaskSource::Video(path) => {
                let frames = Frames::open(path, &self.limits.video).map_err(|e| self.video_error(e))?;
                let frames = frames.map(|frame| frame.map(|frame| frame.pixels).map_err(Either::Video));
                let mask = mask_norm::from_frames(frames, clip_frames, plan).map_err(|e| match e {
                    Either::Video(source) => self.video_error(source),
                    Either::Mask(source) => self.mask_error(source),
                })?;
                Ok((mask.mask, mask.time))
            }
        }
    }

    fn check(&self) -> Result<(), ExampleError> {
        match self.source {
            MaskSource::Image(path) => self.image(path).map(|_| ()),
            MaskSource::Video(path) => {
                video_fit::probe(path, &self.limits.video).map(|_| ()).map_err(|e| self.video_error(e))
            }
        }
    }

    fn image(&self, path: &Path) -> Result<MaskFrame, ExampleError> {
        let bytes = fs::read(path).map_err(|source| ExampleError::Io { path: path.to_owned(), source })?;
        MaskFrame::from_image(&bytes, &self.limits.image).map_err(|e| self.mask_error(e))
    }

    fn mask_error(&self, source: MaskError) -> ExampleError {
        ExampleError::Mask { stem: self.stem.clone(), source }
    }

    fn video_error(&self, source: VideoError) -> ExampleError {
        ExampleError::MaskVideo { stem: self.stem.clone(), source }
    }
}

enum Either {
    Video(VideoError),
    Mask(MaskError),
}

impl From<MaskError> for Either {
    fn from(error: MaskError) -> Self {
        Self::Mask(error)
    }
}

#[cfg(test)]
pub(crate) mod tests;
