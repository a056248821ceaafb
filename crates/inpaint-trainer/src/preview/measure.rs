//! What can be told of an inpainted clip by numbers. Pure functions of bytes; the formulas are said where they are.

use ndarray::{Array2, ArrayView3, ArrayView4, Axis, Slice};
use tensor_batch::{Edit, Mask};

/// PSNR of pictures that are equal, or nearly: a number that JSON can hold.
pub(crate) const BEST_PSNR: f64 = 100.0;

/// Pixels of the window of SSIM to each side, and the standard deviation of its weights.
const REACH: usize = 5;
const DEVIATION: f64 = 1.5;
/// The constants of SSIM for 8 bits: `(0.01 * 255)^2` and `(0.03 * 255)^2`.
const C1: f64 = 6.5025;
const C2: f64 = 58.5225;

/// Which pixels are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Region {
    /// Those that are black in the mask.
    Kept,
    /// Those that are white.
    White,
}

impl Region {
    fn holds(self, white: bool) -> bool {
        white == (self == Self::White)
    }
}

/// The peak signal-to-noise ratio of `a` against `b`, both `[F, H, W, 3]`, in a region, in dB: `10 log10(255^2 / MSE)`, the
/// mean squared error over all channels of all its pixels in all frames; at most [`BEST_PSNR`]. None of an empty region.
pub(crate) fn psnr(
    a: ArrayView4<'_, u8>,
    b: ArrayView4<'_, u8>,
    mask: &Mask<Edit>,
    region: Region,
) -> Option<f64> {
    let (mut sum, mut count) = (0u64, 0u64);
    for (at, white) in mask.values().indexed_iter() {
        if region.holds(*white) {
            let (f, y, x) = at;
            for c in 0..3 {
                sum += u64::from(a[[f, y, x, c]].abs_diff(b[[f, y, x, c]])).pow(2);
            }
            count += 3;
        }
    }
    let mse = sum as f64 / count as f64;
    (count > 0).then(|| (10.0 * (255.0 * 255.0 / mse).log10()).min(BEST_PSNR))
}

/// The structural similarity of `a` and `b`, both `[F, H, W, 3]`, in a region, -1 to 1 (Wang et al. 2004): of luma, with
/// Gaussian windows of 11x11 pixels and a deviation of 1.5, the mean over the region's pixels in all frames. A window holds
/// the region's pixels alone, its weights scaled to a sum of 1, so that what lies outside does not count. None of an empty
/// region.
pub(crate) fn ssim(
    a: ArrayView4<'_, u8>,
    b: ArrayView4<'_, u8>,
    mask: &Mask<Edit>,
    region: Region,
) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0usize);
    for (f, white) in mask.values().outer_iter().enumerate() {
        let inside = white.mapv(|white| f64::from(u8::from(region.holds(white))));
        let pixels = inside.iter().filter(|inside| **inside > 0.0).count();
        if pixels > 0 {
            sum += similarity(&luma(a.index_axis(Axis(0), f)), &luma(b.index_axis(Axis(0), f)), &inside);
            count += pixels;
        }
    }
    (count > 0).then(|| sum / count as f64)
}

/// The sum of the similarities at the pixels that are `inside` (1, else 0), over windows of those.
fn similarity(a: &Array2<f64>, b: &Array2<f64>, inside: &Array2<f64>) -> f64 {
    let weights = blurred(inside.clone());
    let mean = |values: Array2<f64>| blurred(values * inside) / &weights;
    let (mean_a, mean_b) = (mean(a.clone()), mean(b.clone()));
    let (mean_aa, mean_bb, mean_ab) = (mean(a * a), mean(b * b), mean(a * b));
    let mut sum = 0.0;
    for (at, _) in inside.indexed_iter().filter(|(_, inside)| **inside > 0.0) {
        let (ma, mb) = (mean_a[at], mean_b[at]);
        let (va, vb, cov) = (mean_aa[at] - ma * ma, mean_bb[at] - mb * mb, mean_ab[at] - ma * mb);
        sum += (2.0 * ma * mb + C1) * (2.0 * cov + C2) / ((ma * ma + mb * mb + C1) * (va + vb + C2));
    }
    sum
}

/// Values weighted by a Gaussian window, which is cut at the frame's border.
fn blurred(values: Array2<f64>) -> Array2<f64> {
    let weight = |d: usize| (-((d * d) as f64) / (2.0 * DEVIATION * DEVIATION)).exp();
    let weights: Vec<f64> = (0..=REACH).map(weight).collect();
    let along = |values: &Array2<f64>, axis: Axis| {
        let length = values.len_of(axis);
        let mut result = values * weights[0];
        for (d, weight) in weights.iter().enumerate().take(length).skip(1) {
            let (front, back) = (Slice::from(..length - d), Slice::from(d..));
            result.slice_axis_mut(axis, front).scaled_add(*weight, &values.slice_axis(axis, back));
            result.slice_axis_mut(axis, back).scaled_add(*weight, &values.slice_axis(axis, front));
        }
        result
    };
    along(&along(&values, Axis(0)), Axis(1))
}

/// How many pixels the mask keeps, and how many of them are not the same in `a` and `b`, both `[F, H, W, 3]`.
pub(crate) fn kept(a: ArrayView4<'_, u8>, b: ArrayView4<'_, u8>, mask: &Mask<Edit>) -> (u64, u64) {
    let (mut kept, mut differing) = (0, 0);
    for ((f, y, x), _) in mask.values().indexed_iter().filter(|(_, white)| !**white) {
        kept += 1;
        differing += u64::from((0..3).any(|c| a[[f, y, x, c]] != b[[f, y, x, c]]));
    }
    (kept, differing)
}

/// How much the edge of the white area stands out: the mean step of luma from a white pixel to a kept neighbour, over the
/// mean step between two white neighbours, `(across + 1) / (inside + 1)` in 8-bit levels, over all frames of `[F, H, W, 3]`.
/// 1: the edge looks like the inside; the same of the source is what a perfect answer has. The 1 keeps flat areas from
/// dividing by nothing. None where there is no edge, or nothing inside.
pub(crate) fn seam(frames: ArrayView4<'_, u8>, mask: &Mask<Edit>) -> Option<f64> {
    let (mut across, mut inside) = (Mean::default(), Mean::default());
    for (frame, white) in frames.outer_iter().zip(mask.values().outer_iter()) {
        let luma = luma(frame);
        let (height, width) = luma.dim();
        for ((y, x), one) in white.indexed_iter() {
            for other in [(y + 1, x), (y, x + 1)] {
                if other.0 < height && other.1 < width {
                    let step = (luma[(y, x)] - luma[other]).abs();
                    match (*one, white[other]) {
                        (true, true) => inside.add(step),
                        (false, false) => {}
                        _ => across.add(step),
                    }
                }
            }
        }
    }
    Some((across.get()? + 1.0) / (inside.get()? + 1.0))
}

#[derive(Default)]
struct Mean {
    sum: f64,
    count: u64,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    fn get(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}

/// Luma of BT.709 of a frame `[H, W, 3]`, 0 to 255, of the bytes as they are.
fn luma(frame: ArrayView3<'_, u8>) -> Array2<f64> {
    let (height, width, _) = frame.dim();
    Array2::from_shape_fn((height, width), |(y, x)| {
        let [r, g, b] = [0, 1, 2].map(|c| f64::from(frame[[y, x, c]]));
        0.2126 * r + 0.7152 * g + 0.0722 * b
    })
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, Array4};

    use super::*;

    /// A mask of one frame of 16x32 pixels, white in its right half.
    fn halves() -> Mask<Edit> {
        Mask::new(Array3::from_shape_fn((1, 16, 32), |(_, _, x)| x >= 16))
    }

    fn flat(value: u8) -> Array4<u8> {
        Array4::from_elem((1, 16, 32, 3), value)
    }

    /// Fills the white half.
    fn right(picture: &mut Array4<u8>, value: u8) {
        picture.slice_axis_mut(Axis(2), Slice::from(16..)).fill(value);
    }

    /// Stripes of two pixels.
    fn stripes(dark: u8, bright: u8) -> Array4<u8> {
        Array4::from_shape_fn((1, 16, 32, 3), |(_, _, x, _)| if x / 2 % 2 == 0 { dark } else { bright })
    }

    fn near(found: Option<f64>, wanted: f64) {
        assert!(found.is_some_and(|found| (found - wanted).abs() < 1e-9), "found {found:?}, wanted {wanted}");
    }

    #[test]
    fn psnr_is_that_of_the_region_alone() {
        let mut other = flat(110);
        right(&mut other, 100);
        let of = |region| psnr(flat(100).view(), other.view(), &halves(), region);
        // An error of 10 everywhere: 10 log10(65025 / 100).
        near(of(Region::Kept), 28.130_803_608_679_1);
        assert_eq!(of(Region::White), Some(BEST_PSNR));
    }

    #[test]
    fn ssim_of_flat_pictures_is_that_of_their_means() {
        // Without variance the second factor is 1: (2ab + C1) / (a^2 + b^2 + C1).
        let wanted = (2.0 * 100.0 * 110.0 + C1) / (100.0f64.powi(2) + 110.0f64.powi(2) + C1);
        for region in [Region::Kept, Region::White] {
            let found = ssim(flat(100).view(), flat(110).view(), &halves(), region).unwrap();
            assert!((found - wanted).abs() < 1e-9, "{found} {wanted}");
        }
    }

    #[test]
    fn ssim_tells_structure_from_its_negative_and_does_not_look_outside() {
        let (picture, negative) = (stripes(80, 160), stripes(160, 80));
        let of = |other: &Array4<u8>, region| ssim(picture.view(), other.view(), &halves(), region).unwrap();
        assert!((of(&picture, Region::White) - 1.0).abs() < 1e-9);
        assert!(of(&negative, Region::White) < -0.5, "{}", of(&negative, Region::White));
        let mut half = picture.clone();
        right(&mut half, 0);
        assert!((of(&half, Region::Kept) - 1.0).abs() < 1e-9, "what is white does not count among the kept");
        assert!(of(&half, Region::White) < 0.1);
    }

    #[test]
    fn a_seam_stands_out_by_its_step_against_those_inside() {
        // Flat halves: 40 across, nothing inside.
        let mut step = flat(60);
        right(&mut step, 100);
        near(seam(step.view(), &halves()), 41.0);
        near(seam(flat(60).view(), &halves()), 1.0);
        // Rows of 0 and 20 in turn: 20 down inside, 0 along; nothing across the edge, which is upright.
        let rows = Array4::from_shape_fn((1, 16, 32, 3), |(_, y, _, _)| (y % 2 * 20) as u8);
        let inside = 20.0 * (15.0 * 16.0) / (15.0 * 16.0 + 16.0 * 15.0);
        near(seam(rows.view(), &halves()), 1.0 / (inside + 1.0));
    }

    #[test]
    fn kept_pixels_are_counted_and_compared_bit_for_bit() {
        let (source, mut other) = (flat(100), flat(100));
        assert_eq!(kept(other.view(), source.view(), &halves()), (256, 0));
        other[[0, 3, 3, 2]] = 101;
        other[[0, 3, 20, 2]] = 101;
        assert_eq!(kept(other.view(), source.view(), &halves()), (256, 1), "white ones do not count");
    }

    #[test]
    fn what_is_not_there_has_no_number() {
        let (picture, all) = (flat(9), Mask::new(Array3::from_elem((1, 16, 32), true)));
        let (a, b) = (picture.view(), picture.view());
        assert_eq!(psnr(a, b, &all, Region::Kept), None);
        assert_eq!(ssim(a, b, &all, Region::Kept), None);
        assert_eq!(seam(a, &all), None);
        let none = Mask::new(Array3::default((1, 16, 32)));
        assert_eq!((psnr(a, b, &none, Region::White), seam(a, &none)), (None, None));
    }
}
