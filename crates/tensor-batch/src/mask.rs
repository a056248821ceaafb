//! Masks whose polarity is in their type.

use std::marker::PhantomData;

use ndarray::Array3;

use crate::{LatentGrid, ShapeMismatch};

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Edit {}
    impl Sealed for super::Keep {}
}

/// What `true` means in a [`Mask`].
pub trait Polarity: sealed::Sealed {}

/// `true` = regenerate: what users draw in white.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edit {}
/// `true` = keep: what the model conditions on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {}

impl Polarity for Edit {}
impl Polarity for Keep {}

/// A binary mask `[frames, height, width]`, of pixels or of latent cells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask<P: Polarity> {
    values: Array3<bool>,
    polarity: PhantomData<P>,
}

impl<P: Polarity> Mask<P> {
    /// A mask of these values, `[frames, height, width]`.
    pub fn new(values: Array3<bool>) -> Self {
        Self { values, polarity: PhantomData }
    }

    /// The values, `[frames, height, width]`.
    pub fn values(&self) -> &Array3<bool> {
        &self.values
    }

    /// `[frames, height, width]`.
    pub fn dims(&self) -> [usize; 3] {
        self.values.dim().into()
    }

    /// The share of `true` values, 0 to 1; 0 for an empty mask.
    pub fn coverage(&self) -> f64 {
        let set = self.values.iter().filter(|value| **value).count();
        set as f64 / self.values.len().max(1) as f64
    }
}

impl Mask<Edit> {
    /// The one place where polarity turns over.
    pub fn into_keep(self) -> Mask<Keep> {
        Mask::new(self.values.mapv_into(|edit| !edit))
    }
}

/// Which latent cells are kept, `[F', H', W']`, with at least one that is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatentMask(Mask<Keep>);

impl LatentMask {
    /// A latent mask, or none if every cell is kept: there would be nothing to learn.
    pub fn new(keep: Mask<Keep>) -> Option<Self> {
        keep.values().iter().any(|keep| !keep).then_some(Self(keep))
    }

    /// The mask itself, `[F', H', W']`.
    pub fn keep(&self) -> &Mask<Keep> {
        &self.0
    }

    /// The grid of cells.
    pub fn grid(&self) -> LatentGrid {
        let [frames, height, width] = self.0.dims();
        LatentGrid { frames, height, width }
    }

    /// The share of cells that are generated, above 0 and at most 1.
    pub fn generated(&self) -> f64 {
        1.0 - self.0.coverage()
    }

    pub(crate) fn check(&self, grid: LatentGrid) -> Result<(), ShapeMismatch> {
        ShapeMismatch::check("latent mask", &self.0.dims(), &grid.dims())
    }
}

#[cfg(test)]
mod tests {
    use ndarray::arr3;

    use super::*;

    #[test]
    fn polarity_turns_over() {
        let edit = Mask::<Edit>::new(arr3(&[[[true, false]]]));
        assert_eq!(edit.into_keep(), Mask::<Keep>::new(arr3(&[[[false, true]]])));
    }

    #[test]
    fn a_latent_mask_generates_something() {
        assert_eq!(LatentMask::new(Mask::new(arr3(&[[[true, true]]]))), None);
        let half = LatentMask::new(Mask::new(arr3(&[[[true, false]]]))).unwrap();
        assert_eq!(half.generated(), 0.5);
    }
}
