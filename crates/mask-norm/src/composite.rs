//! A generated picture over its source: what is kept stays what it was, bit for bit.

use ndarray::{Array2, Array3, ArrayView2, ArrayView3};
use tensor_batch::ShapeMismatch;

/// How a generated picture fades in, from the edge of the white area inwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Feather {
    /// White pixels over which it fades in; 0: white is generated at once. Nothing outside the white area is touched,
    /// whatever the width.
    pub pixels: u32,
}

impl Default for Feather {
    /// Four pixels: enough to hide a step of a few levels, too few to show what the source had there.
    fn default() -> Self {
        Self { pixels: 4 }
    }
}

impl Feather {
    /// The share of the generated picture in every pixel of a frame, from its mask `[H, W]`: 0 where it is kept,
    /// `min(1, d / (pixels + 1))` at `d` pixels from the nearest kept one, centre to centre. Beyond the frame's border
    /// nothing is kept.
    pub fn shares(self, white: ArrayView2<'_, bool>) -> Array2<f32> {
        if self.pixels == 0 {
            return white.mapv(f32::from);
        }
        let reach = self.pixels as usize + 1;
        let down = distances_down(white, reach);
        let (_, width) = white.dim();
        Array2::from_shape_fn(white.dim(), |(y, x)| {
            let columns = x.saturating_sub(reach)..(x + reach + 1).min(width);
            let squared = |at: usize| down[[y, at]].pow(2) + at.abs_diff(x).pow(2);
            let nearest = columns.map(squared).min().unwrap_or(0).min(reach.pow(2));
            (nearest as f32).sqrt() / reach as f32
        })
    }
}

/// How far the nearest kept pixel of its own column is from every pixel, at most `reach`.
fn distances_down(white: ArrayView2<'_, bool>, reach: usize) -> Array2<usize> {
    let mut distances = white.mapv(|white| if white { reach } else { 0 });
    let (height, width) = white.dim();
    let mut relax = |from: usize, to: usize| {
        for x in 0..width {
            distances[[to, x]] = distances[[to, x]].min(distances[[from, x]] + 1);
        }
    };
    (1..height).for_each(|y| relax(y - 1, y));
    (1..height).rev().for_each(|y| relax(y, y - 1));
    distances
}

/// A frame of `source` with `generated` in its white area; both `[H, W, 3]`, the mask `[H, W]`. Kept pixels are those of
/// the source, bit for bit; white ones lie between source and generated picture as `feather` says.
///
/// # Errors
/// If the three are not of one size.
pub fn composite(
    source: ArrayView3<'_, u8>,
    generated: ArrayView3<'_, u8>,
    white: ArrayView2<'_, bool>,
    feather: Feather,
) -> Result<Array3<u8>, ShapeMismatch> {
    ShapeMismatch::check("generated frame", generated.shape(), source.shape())?;
    ShapeMismatch::check("mask", white.shape(), &source.shape()[..2])?;
    let shares = feather.shares(white);
    let mut frame = source.to_owned();
    for ((y, x), share) in shares.indexed_iter().filter(|(_, share)| **share > 0.0) {
        for channel in 0..frame.dim().2 {
            let pixel = &mut frame[[y, x, channel]];
            *pixel = mixed(*pixel, generated[[y, x, channel]], *share);
        }
    }
    Ok(frame)
}

fn mixed(from: u8, to: u8, share: f32) -> u8 {
    (f32::from(from) + share * (f32::from(to) - f32::from(from))).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One row of a mask, white where there is a `#`.
    fn row(text: &str) -> Array2<bool> {
        Array2::from_shape_fn((1, text.len()), |(_, x)| text.as_bytes()[x] == b'#')
    }

    #[test]
    fn shares_rise_inside_the_white_area_alone() {
        let shares = |pixels, text| Feather { pixels }.shares(row(text).view()).into_raw_vec_and_offset().0;
        assert_eq!(shares(0, ".##."), [0.0, 1.0, 1.0, 0.0]);
        assert_eq!(shares(1, ".####"), [0.0, 0.5, 1.0, 1.0, 1.0]);
        assert_eq!(shares(3, ".###."), [0.0, 0.25, 0.5, 0.25, 0.0]);
        assert_eq!(shares(9, "###"), [1.0; 3], "where nothing is kept, there is nothing to fade from");
    }

    #[test]
    fn distances_are_euclidean() {
        let mut white = Array2::from_elem((9, 9), true);
        white[[0, 0]] = false;
        let shares = Feather { pixels: 9 }.shares(white.view());
        assert_eq!((shares[[3, 4]], shares[[4, 3]], shares[[0, 8]]), (0.5, 0.5, 0.8));
        assert!((shares[[1, 1]] - 0.1 * 2f32.sqrt()).abs() < 1e-6);
    }

    #[test]
    fn frames_of_several_sizes_are_refused() {
        let frame = |h, w| Array3::<u8>::zeros((h, w, 3));
        let white = |h, w| Array2::from_elem((h, w), true);
        let found = |a: Array3<u8>, b: Array3<u8>, m: Array2<bool>| {
            composite(a.view(), b.view(), m.view(), Feather::default()).map_err(|error| error.what)
        };
        assert_eq!(found(frame(2, 3), frame(3, 2), white(2, 3)), Err("generated frame"));
        assert_eq!(found(frame(2, 3), frame(2, 3), white(3, 2)), Err("mask"));
        assert!(found(frame(2, 3), frame(2, 3), white(2, 3)).is_ok());
    }
}
