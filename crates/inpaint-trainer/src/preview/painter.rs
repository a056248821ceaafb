//! From latents to frames and numbers.

use std::ops::ControlFlow;

use lora_train::{InpaintPlan, inpaint};
use ltx_model::{
    Checkpoint, ModelError, Tile, Tiling, TilingError, Transformer, TransformerLora, VideoDecoder,
    tensor_to_pixels,
};
use mask_norm::{Feather, composite};
use ndarray::{Array2, Array4, Axis};
use tensor_batch::{FittedClip, LatentExample, ShapeMismatch};

use super::{
    PreviewNumbers,
    measure::{self, Region},
};
use crate::{Cuts, Device, TrainOptions, TrainRequest};

/// What tiles that are decoded share with the next, in frames and pixels; short tiles share two thirds of their frames.
const OVERLAP: [usize; 2] = [24, 64];

/// How pictures are made.
pub(crate) struct Painter<'a> {
    pub(crate) base: &'a Checkpoint,
    pub(crate) device: &'a Device,
    pub(crate) plan: InpaintPlan,
    pub(crate) feather: Feather,
    pub(crate) truth: bool,
    pub(crate) cuts: Cuts,
}

impl<'a> Painter<'a> {
    pub(crate) fn new(
        base: &'a Checkpoint,
        device: &'a Device,
        request: &TrainRequest,
        options: &TrainOptions,
        cuts: Cuts,
    ) -> Self {
        Self {
            base,
            device,
            plan: options.inpaint_plan(request.stg_scale()),
            feather: options.feather(),
            truth: options.source_is_truth(),
            cuts,
        }
    }

    /// The decoder's output for a sample, `[F, H, W, 3]`; none if `observe`, which sees every denoising step, breaks. The
    /// decoder is in memory for as long as it decodes.
    pub(crate) fn plain(
        &self,
        model: &Transformer,
        lora: Option<&TransformerLora>,
        sample: &Sample<'_>,
        observe: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Option<Array4<u8>>, PaintError> {
        let Sample { fitted, latents, negative, index } = sample;
        let Some(painted) = inpaint(model, lora, latents, negative, &self.plan, *index, observe) else {
            return Ok(None);
        };
        let decoder = VideoDecoder::load(self.base, self.device)?;
        let mut bytes = Vec::with_capacity(fitted.clip().pixels().len());
        for chunk in decoder.decode_chunks(painted, &tiling(self.cuts)?) {
            bytes.extend(tensor_to_pixels(chunk));
        }
        let found = vec![bytes.len()];
        let wanted = fitted.clip().pixels().dim();
        let frames = Array4::from_shape_vec(wanted, bytes);
        let mismatch = |_| ShapeMismatch {
            what: "decoded clip",
            found,
            wanted: fitted.clip().pixels().shape().to_vec(),
        };
        Ok(Some(frames.map_err(mismatch)?))
    }

    /// `plain` laid over its source: `[F, H, W, 3]`.
    pub(crate) fn composited(
        &self,
        fitted: &FittedClip,
        plain: &Array4<u8>,
    ) -> Result<Array4<u8>, ShapeMismatch> {
        let mut result = fitted.clip().pixels().clone();
        ShapeMismatch::check("decoded clip", plain.shape(), result.shape())?;
        let white = fitted.mask().values();
        for (f, mut frame) in result.outer_iter_mut().enumerate() {
            let at = Axis(0);
            let made =
                composite(frame.view(), plain.index_axis(at, f), white.index_axis(at, f), self.feather)?;
            frame.assign(&made);
        }
        Ok(result)
    }

    pub(crate) fn numbers(
        &self,
        fitted: &FittedClip,
        plain: &Array4<u8>,
        composited: &Array4<u8>,
    ) -> PreviewNumbers {
        let (source, mask) = (fitted.clip().pixels(), fitted.mask());
        let (a, b) = (plain.view(), source.view());
        let (kept_pixels, kept_differing) = measure::kept(composited.view(), b, mask);
        PreviewNumbers {
            kept_psnr: measure::psnr(a, b, mask, Region::Kept),
            kept_ssim: measure::ssim(a, b, mask, Region::Kept),
            white_psnr: self.truth.then(|| measure::psnr(a, b, mask, Region::White)).flatten(),
            white_ssim: self.truth.then(|| measure::ssim(a, b, mask, Region::White)).flatten(),
            seam: measure::seam(composited.view(), mask),
            source_seam: measure::seam(b, mask),
            kept_pixels,
            kept_differing,
        }
    }
}

/// What a picture is made of.
pub(crate) struct Sample<'a> {
    /// The clip with its mask.
    pub(crate) fitted: &'a FittedClip,
    /// Its latents, the cells to keep, and the context of its prompt.
    pub(crate) latents: LatentExample,
    /// The context of what shall not be seen, `[L, D]`.
    pub(crate) negative: Array2<f32>,
    /// Which sample it is, from 0: the noise depends on it.
    pub(crate) index: usize,
}

/// Why no picture came out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PaintError {
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Tiling(#[from] TilingError),
    #[error(transparent)]
    Shape(#[from] ShapeMismatch),
}

/// The tiles that are decoded one at a time.
fn tiling(cuts: Cuts) -> Result<Tiling, TilingError> {
    let [frames, side] = cuts.preview;
    let [over_frames, over_pixels] = OVERLAP;
    let frames = Tile::new(frames, over_frames.min(frames * 2 / 3))?;
    let side = Tile::new(side, over_pixels)?;
    Ok(Tiling { frames: Some(frames), height: Some(side), width: Some(side) })
}
