//! One example: surveyed without keeping a pixel, then fitted when asked for.

mod mask_reader;
mod survey;
#[cfg(test)]
pub(crate) mod tests;

use std::{
    io,
    path::{Path, PathBuf},
};

use dataset_zip::MaskSource;
use lora_train::{Digest, DigestBuilder};
use mask_norm::{LatentRule, MaskError};
use tensor_batch::{
    Blame, Bucket, Caption, Fault, FitPlan, FittedClip, FrameRate, LatentMask, ShapeMismatch, Stem,
};
use video_fit::{Frames, VideoError};

pub(crate) use survey::{Findings, survey};

use crate::Limits;
use mask_reader::MaskReader;

/// How clips are brought into the bucket.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fit {
    pub(crate) bucket: Bucket,
    pub(crate) frame_rate: FrameRate,
    pub(crate) auto_scale: bool,
    /// Seconds above which a clip is cut into scenes, if any is.
    pub(crate) scenes_above: Option<f64>,
    pub(crate) latent_rule: LatentRule,
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

/// An example, or one scene of it, with its plan; its pixels are on disk.
#[derive(Debug, Clone)]
pub(crate) struct Surveyed {
    stem: Stem,
    clip: PathBuf,
    mask: MaskSource,
    caption: Option<Caption>,
    plan: FitPlan,
    latent_rule: LatentRule,
    clip_frames: u32,
}

impl Surveyed {
    pub(crate) fn stem(&self) -> &Stem {
        &self.stem
    }

    pub(crate) fn caption(&self) -> Option<&Caption> {
        self.caption.as_ref()
    }

    /// Where the clip lies, as it came.
    pub(crate) fn clip(&self) -> &Path {
        &self.clip
    }

    /// How it is brought into the bucket.
    pub(crate) fn plan(&self) -> &FitPlan {
        &self.plan
    }

    /// Adds all that decides what [`fitted`](Self::fitted) gives, the files by their content.
    pub(crate) fn digest(&self, digest: DigestBuilder) -> Result<Digest, ExampleError> {
        let (kind, mask) = match &self.mask {
            MaskSource::Image(path) => ("image", path),
            MaskSource::Video(path) => ("video", path),
        };
        let how = format!("{:?} {:?} {} {kind}", self.plan, self.latent_rule, self.clip_frames);
        let file = |digest: DigestBuilder, path: &PathBuf| {
            digest.file(path).map_err(|source| ExampleError::Io { path: path.clone(), source })
        };
        Ok(file(file(digest.part(how), &self.clip)?, mask)?.finish())
    }

    /// The clip and its mask in the bucket.
    pub(crate) fn fitted(&self, limits: &Limits) -> Result<FittedClip, ExampleError> {
        let clip_error = |source| ExampleError::Clip { stem: self.stem.clone(), source };
        let frames = Frames::open(&self.clip, &limits.video).map_err(clip_error)?;
        let clip = video_fit::fit(frames, &self.plan).map_err(clip_error)?;
        let reader = MaskReader { stem: &self.stem, source: &self.mask, limits };
        let mask = reader.read(self.latent_rule, &self.plan, self.clip_frames)?;
        let changed = || ExampleError::Changed { stem: self.stem.clone() };
        let latent = LatentMask::new(mask.cells.into_keep()).ok_or_else(changed)?;
        Ok(FittedClip::new(self.stem.clone(), clip, mask.pixels, latent, self.caption.clone())?)
    }
}
