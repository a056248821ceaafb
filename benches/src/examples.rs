//! Latent examples of noise, in memory.

use lora_train::random::{Draws, Purpose};
use ndarray::{Array2, Array3, Array4};
use tensor_batch::{
    Blame, Fault, FrameRate, LATENT_CHANNELS, LatentExample, LatentGrid, LatentMask, LatentSource, Mask, Stem,
};

use crate::case::Result;

/// Examples that are all there.
#[derive(Debug)]
pub struct Examples(Vec<LatentExample>);

/// What never goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no such example")]
pub struct NoSuchExample;

impl Blame for NoSuchExample {
    fn fault(&self) -> Fault {
        Fault::Service
    }

    fn kind(&self) -> &'static str {
        "no-such-example"
    }
}

impl Examples {
    /// `count` examples on `grid`, the last half of whose frames is generated, with contexts of `context`.
    ///
    /// # Errors
    /// If they do not fit together.
    pub fn noise(count: u64, grid: LatentGrid, context: [usize; 2]) -> Result<Self> {
        let example = |index| {
            let mut draws = Draws::new(4, Purpose::Init, index);
            let LatentGrid { frames, height, width } = grid;
            let latents = draws.normals(LATENT_CHANNELS * grid.tokens());
            let latents = Array4::from_shape_vec((LATENT_CHANNELS, frames, height, width), latents)?;
            let keep = Array3::from_shape_fn((frames, height, width), |(frame, ..)| 2 * frame < frames);
            let context =
                Array2::from_shape_vec((context[0], context[1]), draws.normals(context[0] * context[1]))?;
            let (stem, keep) = (
                Stem::new(format!("noise-{index}")),
                LatentMask::new(Mask::new(keep)).ok_or("no cell is generated")?,
            );
            Ok(LatentExample::new(stem, latents, keep, context, FrameRate::DEFAULT)?)
        };
        Ok(Self((0..count).map(example).collect::<Result<_>>()?))
    }
}

impl LatentSource for Examples {
    type Error = NoSuchExample;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, index: usize) -> std::result::Result<LatentExample, NoSuchExample> {
        self.0.get(index).cloned().ok_or(NoSuchExample)
    }
}
