//! A mask in register with its clip: it follows the clip's own crop and scale, frame by frame.

use ndarray::{Array2, Array3, ArrayView3, Axis};
use tensor_batch::Geometry;

use crate::{
    Growth,
    canvas::{Brush, copy_first},
    fit::{fit, grow_in_time},
    frame::MaskFrame,
    latent::cells,
    picture::Picture,
    seen::Look,
    share::Share,
};

/// Paints white where enough of a pixel's footprint on the mask is white.
pub(crate) struct Register<'a> {
    geometry: &'a Geometry,
    share: Share,
    growth: Growth,
    white: Array2<bool>,
}

impl<'a> Register<'a> {
    pub(crate) fn new(geometry: &'a Geometry, share: Share, growth: Growth) -> Self {
        Self { geometry, share, growth, white: Array2::default((0, 0)) }
    }

    fn load(&mut self, frame: MaskFrame) -> Look {
        let look = frame.look();
        self.white = frame.into_white();
        look
    }
}

impl Brush for Register<'_> {
    fn load_image(&mut self, picture: &Picture) -> Look {
        self.load(MaskFrame::from_picture(picture))
    }

    fn load_frame(&mut self, frame: ArrayView3<'_, u8>) -> Look {
        self.load(MaskFrame::from_rgb(frame))
    }

    fn paint(&mut self, pixels: &mut Array3<bool>, places: &[usize]) {
        let Some(first) = places.first() else { return };
        let plane = pixels.index_axis_mut(Axis(0), *first);
        fit(&self.white, self.geometry, self.share, self.growth.pixels, plane);
        copy_first(pixels, places);
    }

    fn finish(self: Box<Self>, pixels: &mut Array3<bool>) -> Array3<bool> {
        grow_in_time(pixels, self.growth.frames);
        cells(pixels, self.share)
    }
}
