//! Latent examples: what training consumes.

use ndarray::{Array2, Array4};

use crate::{Blame, FrameRate, LATENT_CHANNELS, LatentGrid, LatentMask, ShapeMismatch, Stem};

/// One example as the model sees it. Its parts agree, because [`LatentExample::new`] checks it.
#[derive(Debug, Clone, PartialEq)]
pub struct LatentExample {
    stem: Stem,
    latents: Array4<f32>,
    keep: LatentMask,
    context: Array2<f32>,
    rate: FrameRate,
}

impl LatentExample {
    /// Normalised latents `[128, F', H', W']`, the cells to keep `[F', H', W']`, the text context `[L, D]`, and the
    /// clip's frame rate.
    ///
    /// # Errors
    /// If latents and mask disagree, or the latents do not have 128 channels.
    pub fn new(
        stem: Stem,
        latents: Array4<f32>,
        keep: LatentMask,
        context: Array2<f32>,
        rate: FrameRate,
    ) -> Result<Self, ShapeMismatch> {
        let [frames, height, width] = keep.grid().dims();
        ShapeMismatch::check("latents", latents.shape(), &[LATENT_CHANNELS, frames, height, width])?;
        Ok(Self { stem, latents, keep, context, rate })
    }

    /// The example's name.
    pub fn stem(&self) -> &Stem {
        &self.stem
    }

    /// Normalised latents, `[128, F', H', W']`.
    pub fn latents(&self) -> &Array4<f32> {
        &self.latents
    }

    /// The cells to keep, `[F', H', W']`.
    pub fn keep(&self) -> &LatentMask {
        &self.keep
    }

    /// The connector's output for the prompt, `[L, D]`.
    pub fn context(&self) -> &Array2<f32> {
        &self.context
    }

    /// The frame rate that goes into the positions.
    pub fn rate(&self) -> FrameRate {
        self.rate
    }

    /// The grid of cells.
    pub fn grid(&self) -> LatentGrid {
        self.keep.grid()
    }
}

/// What training asks for: latent examples, in a fixed order, each read when asked for.
pub trait LatentSource {
    /// Why an example could not be read.
    type Error: Blame + Send + Sync + 'static;

    /// How many examples there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads example `index`, the same at every call.
    ///
    /// # Errors
    /// If the example cannot be read any more.
    ///
    /// # Panics
    /// May panic if `index` is not below [`len`](Self::len).
    fn get(&self, index: usize) -> Result<LatentExample, Self::Error>;
}
