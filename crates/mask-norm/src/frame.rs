//! One frame of a mask, at its own resolution.

use image::DynamicImage;
use ndarray::{Array2, ArrayView3};
use tensor_batch::Size;

use crate::{picture::Picture, seen::Look};

/// One frame of a mask at its own resolution: white or black, nothing between.
#[derive(Debug)]
pub(crate) struct MaskFrame {
    white: Array2<bool>,
    /// Pixels that were neither nearly white nor nearly black.
    grey: u64,
}

impl MaskFrame {
    /// A frame from an image of any colour type, with or without transparency, 1 to 16 bits.
    pub(crate) fn from_picture(picture: &Picture) -> Self {
        let tones = of_image(&picture.image);
        let shape = (picture.image.height() as usize, picture.image.width() as usize);
        let frame = Self::new(shape, tones);
        if picture.is_upright() {
            return frame;
        }
        Self { white: Array2::from_shape_fn(picture.dim(), |at| frame.white[picture.at(at)]), ..frame }
    }

    /// A frame from upright 8-bit pixels, `[height, width, 3]`.
    pub(crate) fn from_rgb(frame: ArrayView3<'_, u8>) -> Self {
        let (height, width, channels) = frame.dim();
        let samples = frame.as_standard_layout();
        let samples = samples.as_slice().unwrap_or_default();
        let tones = match channels {
            3 => of_rgb(samples),
            _ => opaque_of(samples, channels, 0xff),
        };
        Self::new((height, width), tones)
    }

    fn new(shape: (usize, usize), tones: Tones) -> Self {
        // There are as many values as pixels, unless a frame has no channel: then it has no pixel either.
        Self { white: Array2::from_shape_vec(shape, tones.white).unwrap_or_default(), grey: tones.grey }
    }

    /// Which pixels are white, `[height, width]`.
    pub(crate) fn into_white(self) -> Array2<bool> {
        self.white
    }

    /// What is to be said about this frame.
    pub(crate) fn look(&self) -> Look {
        let (height, width) = self.white.dim();
        let [width, height] = [width, height].map(|side| u32::try_from(side).unwrap_or(u32::MAX));
        Look { size: Size { width, height }, grey: self.grey }
    }
}

/// What becomes of pixels when only white and black are left.
#[derive(Debug, Default, PartialEq)]
struct Tones {
    white: Vec<bool>,
    /// Pixels that are neither nearly white nor nearly black.
    grey: u64,
}

impl Tones {
    /// From how bright each pixel is, of `full`; in whole numbers, so that the same grey in 8 and 16 bits falls on the
    /// same side.
    fn of(bright: impl Iterator<Item = u64>, full: u64) -> Self {
        let mut grey = 0;
        let is_white = |bright| {
            grey += u64::from(full < 10 * bright && 10 * bright < 9 * full);
            2 * bright >= full
        };
        let white = bright.map(is_white).collect();
        Self { white, grey }
    }

    fn append(&mut self, mut other: Self) {
        self.white.append(&mut other.white);
        self.grey += other.grey;
    }
}

/// 8-bit RGB. Mask videos are mostly flat, so blocks of pixels are judged together where they agree.
fn of_rgb(samples: &[u8]) -> Tones {
    // With all channels up to 10 %, or from 90 % on, so is their mean.
    const BLACK: u8 = 25;
    const WHITE: u8 = 230;
    let (blocks, rest) = samples.as_chunks::<{ 3 * 32 }>();
    let mut tones = Tones { white: Vec::with_capacity(samples.len() / 3), grey: 0 };
    for block in blocks {
        let (low, high) =
            block.iter().fold((u8::MAX, 0), |(low, high), value| (low.min(*value), high.max(*value)));
        match (low, high) {
            (_, ..=BLACK) => tones.white.extend([false; 32]),
            (WHITE.., _) => tones.white.extend([true; 32]),
            _ => tones.append(opaque(block.as_chunks::<3>().0, 0xff)),
        }
    }
    tones.append(opaque(rest.as_chunks::<3>().0, 0xff));
    tones
}

fn of_image(image: &DynamicImage) -> Tones {
    use DynamicImage as Image;
    match image {
        Image::ImageLuma8(pixels) => opaque(pixels.as_chunks::<1>().0, 0xff),
        Image::ImageRgb8(pixels) => opaque(pixels.as_chunks::<3>().0, 0xff),
        Image::ImageLumaA8(pixels) => over_black(pixels.as_chunks::<2>().0, 0xff),
        Image::ImageRgba8(pixels) => over_black(pixels.as_chunks::<4>().0, 0xff),
        Image::ImageLuma16(pixels) => opaque(pixels.as_chunks::<1>().0, 0xffff),
        Image::ImageRgb16(pixels) => opaque(pixels.as_chunks::<3>().0, 0xffff),
        Image::ImageLumaA16(pixels) => over_black(pixels.as_chunks::<2>().0, 0xffff),
        other => over_black(other.to_rgba16().as_chunks::<4>().0, 0xffff),
    }
}

fn opaque<T: Copy + Into<u64>, const CHANNELS: usize>(pixels: &[[T; CHANNELS]], full: u64) -> Tones {
    Tones::of(pixels.iter().map(|pixel| sum(pixel)), CHANNELS as u64 * full)
}

/// Pixels of any number of channels; without a channel there is no pixel.
fn opaque_of(samples: &[u8], channels: usize, full: u64) -> Tones {
    Tones::of(samples.chunks_exact(channels.max(1)).map(sum), channels as u64 * full)
}

fn over_black<T: Copy + Into<u64>, const CHANNELS: usize>(pixels: &[[T; CHANNELS]], full: u64) -> Tones {
    let bright =
        |pixel: &[T; CHANNELS]| pixel.split_last().map_or(0, |(alpha, colour)| sum(colour) * (*alpha).into());
    Tones::of(pixels.iter().map(bright), (CHANNELS as u64 - 1) * full * full)
}

fn sum<T: Copy + Into<u64>>(channels: &[T]) -> u64 {
    channels.iter().map(|channel| (*channel).into()).sum()
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, arr2};

    use super::*;

    fn row(pixels: &[[u8; 3]]) -> MaskFrame {
        MaskFrame::from_rgb(
            Array3::from_shape_fn((1, pixels.len(), 3), |(_, x, channel)| pixels[x][channel]).view(),
        )
    }

    #[test]
    fn half_of_full_scale_is_white() {
        // 383, 382 and 510 of 765.
        let frame = row(&[[128, 127, 128], [127, 127, 128], [255, 255, 0]]);
        assert_eq!(frame.white, arr2(&[[true, false, true]]));
        assert_eq!(opaque(&[[127u8], [128]], 0xff).white, [false, true]);
        assert_eq!(opaque(&[[0x7fffu16], [0x8000]], 0xffff).white, [false, true]);
    }

    #[test]
    fn what_is_transparent_is_black() {
        let pixels = [[255u8, 255], [255, 0], [255, 127], [255, 128]];
        assert_eq!(over_black(&pixels, 0xff).white, [true, false, false, true]);
        assert_eq!(over_black(&[[255u8, 255, 255, 0]], 0xff), Tones { white: vec![false], grey: 0 });
        // Half of a tenth.
        assert_eq!(over_black(&[[52u8, 127]], 0xff).grey, 1);
        assert_eq!(over_black(&[[51u8, 127]], 0xff).grey, 0);
    }

    #[test]
    fn grey_lies_between_a_tenth_and_nine_tenths() {
        // 76, 77, 688 and 689 of 765.
        for (pixel, grey) in [([76, 0, 0], 0), ([76, 1, 0], 1), ([255, 255, 178], 1), ([255, 255, 179], 0)] {
            assert_eq!(row(&[pixel, [0; 3], [255; 3]]).look().grey, grey, "{pixel:?}");
        }
        // Exactly a tenth of 16 bits is none; nor is it of 8 bits, where it falls between two values.
        for (value, grey) in [(6553, 0), (6554, 1), (58981, 1), (58982, 0)] {
            assert_eq!(opaque(&[[value as u16]], 0xffff).grey, grey, "{value}");
        }
        for value in 0..=255u8 {
            assert_eq!(opaque(&[[value]], 0xff).grey, opaque(&[[u16::from(value) * 257]], 0xffff).grey);
        }
    }

    #[test]
    fn frames_of_any_layout_and_number_of_channels_are_read() {
        let frame = Array3::from_shape_fn((2, 3, 3), |(y, x, _)| if x > y { 255 } else { 0u8 });
        let turned = frame.clone().permuted_axes([1, 0, 2]);
        assert_eq!(MaskFrame::from_rgb(turned.view()).white, MaskFrame::from_rgb(frame.view()).white.t());
        let two = Array3::from_shape_fn((1, 2, 2), |(_, x, channel)| if channel < x { 255u8 } else { 0 });
        assert_eq!(MaskFrame::from_rgb(two.view()).white, arr2(&[[false, true]]));
        assert!(MaskFrame::from_rgb(Array3::zeros((4, 4, 0)).view()).white.is_empty());
    }
}
