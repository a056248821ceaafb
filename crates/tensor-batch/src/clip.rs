//! Fitted clips: what preprocessing produces.

use ndarray::Array4;

use crate::{
    Blame, CELL_FRAMES, CELL_PIXELS, Caption, Edit, FrameRate, LatentGrid, LatentMask, Mask, ShapeMismatch,
    Stem,
};

/// Frames in a bucket: `[F, H, W, 3]`, 8-bit RGB, `F` = 8k+1, `H` and `W` multiples of 32.
#[derive(Debug, Clone, PartialEq)]
pub struct Clip {
    pixels: Array4<u8>,
    rate: FrameRate,
}

impl Clip {
    /// A clip of these pixels, `[F, H, W, 3]`, which play at `rate`.
    ///
    /// # Errors
    /// If a size is none that the model can take.
    pub fn new(pixels: Array4<u8>, rate: FrameRate) -> Result<Self, ShapeMismatch> {
        let (frames, height, width, _) = pixels.dim();
        let frames_8k1 = frames.saturating_sub(1) / CELL_FRAMES as usize * CELL_FRAMES as usize + 1;
        let cells = |n: usize| n.div_ceil(CELL_PIXELS as usize).max(1) * CELL_PIXELS as usize;
        ShapeMismatch::check("clip", pixels.shape(), &[frames_8k1, cells(height), cells(width), 3])?;
        // Clips are large: only what is not in order is copied.
        let pixels =
            if pixels.is_standard_layout() { pixels } else { pixels.as_standard_layout().into_owned() };
        Ok(Self { pixels, rate })
    }

    /// The pixels, `[F, H, W, 3]`, in standard layout.
    pub fn pixels(&self) -> &Array4<u8> {
        &self.pixels
    }

    /// The rate that goes into the model's positions.
    pub fn rate(&self) -> FrameRate {
        self.rate
    }

    /// The latent cells of this clip.
    pub fn latent_grid(&self) -> LatentGrid {
        let (frames, height, width, _) = self.pixels.dim();
        let cell = CELL_PIXELS as usize;
        LatentGrid {
            frames: (frames - 1) / CELL_FRAMES as usize + 1,
            height: height / cell,
            width: width / cell,
        }
    }
}

/// A clip, its mask and its caption, in register: they agree in frames, height and width, because
/// [`FittedClip::new`] checks it and nothing else builds one.
#[derive(Debug, Clone, PartialEq)]
pub struct FittedClip {
    stem: Stem,
    clip: Clip,
    mask: Mask<Edit>,
    latent_mask: LatentMask,
    caption: Option<Caption>,
}

impl FittedClip {
    /// Puts together what belongs together.
    ///
    /// # Errors
    /// If mask or latent mask do not have the clip's size.
    pub fn new(
        stem: Stem,
        clip: Clip,
        mask: Mask<Edit>,
        latent_mask: LatentMask,
        caption: Option<Caption>,
    ) -> Result<Self, ShapeMismatch> {
        ShapeMismatch::check("mask", &mask.dims(), &clip.pixels.shape()[..3])?;
        latent_mask.check(clip.latent_grid())?;
        Ok(Self { stem, clip, mask, latent_mask, caption })
    }

    /// The example's name.
    pub fn stem(&self) -> &Stem {
        &self.stem
    }

    /// The pixels.
    pub fn clip(&self) -> &Clip {
        &self.clip
    }

    /// Which pixels are to be regenerated, `[F, H, W]`.
    pub fn mask(&self) -> &Mask<Edit> {
        &self.mask
    }

    /// Which latent cells are kept, `[F', H', W']`.
    pub fn latent_mask(&self) -> &LatentMask {
        &self.latent_mask
    }

    /// What the clip shows, without the trigger phrase.
    pub fn caption(&self) -> Option<&Caption> {
        self.caption.as_ref()
    }
}

/// What preprocessing promises: fitted clips, in a fixed order, each made when asked for, so that one at a time is
/// in memory.
pub trait ClipSource {
    /// Why a clip could not be made.
    type Error: Blame + Send + Sync + 'static;

    /// How many clips there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes clip `index`, the same at every call.
    ///
    /// # Errors
    /// If the clip cannot be read any more.
    ///
    /// # Panics
    /// May panic if `index` is not below [`len`](Self::len).
    fn get(&self, index: usize) -> Result<FittedClip, Self::Error>;
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, Array4};

    use super::*;

    fn clip(frames: usize, height: usize, width: usize) -> Result<Clip, ShapeMismatch> {
        Clip::new(Array4::zeros([frames, height, width, 3]), FrameRate::new(24.0).unwrap())
    }

    #[test]
    fn a_clip_has_a_size_that_the_model_can_take() {
        assert!(clip(9, 32, 64).is_ok());
        for (frames, height, width) in [(8, 32, 64), (9, 33, 64), (9, 32, 65), (0, 32, 32), (9, 0, 32)] {
            assert!(clip(frames, height, width).is_err(), "{frames} {height} {width}");
        }
    }

    #[test]
    fn a_mask_of_another_size_is_refused() {
        let fitted = |frames, cells| {
            let mask = Mask::new(Array3::from_elem([frames, 32, 64], true));
            let latent = LatentMask::new(Mask::new(Array3::from_elem([cells, 1, 2], false))).unwrap();
            FittedClip::new(Stem::new("a"), clip(9, 32, 64).unwrap(), mask, latent, None)
        };
        assert!(fitted(9, 2).is_ok());
        assert_eq!(fitted(8, 2).unwrap_err().what, "mask");
        assert_eq!(fitted(9, 3).unwrap_err().what, "latent mask");
    }
}
