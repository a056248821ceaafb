//! The mask of one example, from its file.

use std::{fs, path::Path};

use dataset_zip::MaskSource;
use mask_norm::{LatentRule, MaskError, NormalizedMask, Seen};
use tensor_batch::{FitPlan, Stem};
use video_fit::{Frames, VideoError};

use super::ExampleError;
use crate::Limits;

/// Reads the mask of one example.
pub(super) struct MaskReader<'a> {
    pub(super) stem: &'a Stem,
    pub(super) source: &'a MaskSource,
    pub(super) limits: &'a Limits,
}

impl MaskReader<'_> {
    /// The mask in the bucket and in latent cells.
    pub(super) fn read(
        &self,
        rule: LatentRule,
        plan: &FitPlan,
        clip_frames: u32,
    ) -> Result<NormalizedMask, ExampleError> {
        match self.source {
            MaskSource::Image(path) => {
                let image = rule.image(&self.bytes(path)?, &self.limits.image, plan);
                image.map_err(|e| self.mask_error(e))
            }
            MaskSource::Video(path) => {
                let frames = Frames::open(path, &self.limits.video).map_err(|e| self.video_error(e))?;
                let frames = frames.map(|frame| frame.map(|frame| frame.pixels).map_err(Either::Video));
                rule.video(frames, clip_frames, plan).map_err(|e| match e {
                    Either::Video(source) => self.video_error(source),
                    Either::Mask(source) => self.mask_error(source),
                })
            }
        }
    }

    /// Whether it can be decoded.
    pub(super) fn check(&self) -> Result<(), ExampleError> {
        match self.source {
            MaskSource::Image(path) => {
                let image = Seen::image(&self.bytes(path)?, &self.limits.image);
                image.map(|_| ()).map_err(|e| self.mask_error(e))
            }
            MaskSource::Video(path) => {
                video_fit::probe(path, &self.limits.video).map(|_| ()).map_err(|e| self.video_error(e))
            }
        }
    }

    fn bytes(&self, path: &Path) -> Result<Vec<u8>, ExampleError> {
        fs::read(path).map_err(|source| ExampleError::Io { path: path.to_owned(), source })
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
