//! What colours a picture shows, quarter by quarter.

use ndarray::{ArrayView3, Axis};

const LUMA_BINS: usize = 16;
const HUE_BINS: usize = 12;

/// The histograms of a picture's quarters.
pub(crate) struct Histograms([Histogram; 4]);

impl Histograms {
    /// The histograms of a picture `[h, w, 3]` of 8-bit RGB.
    pub(crate) fn of(picture: ArrayView3<u8>) -> Self {
        let (height, width, _) = picture.dim();
        let (top, bottom) = picture.split_at(Axis(0), height / 2);
        let [(a, b), (c, d)] = [top, bottom].map(|half| half.split_at(Axis(1), width / 2));
        Self([a, b, c, d].map(Histogram::of))
    }

    /// How far apart two pictures are, 0 to 1: the mean over their quarters.
    pub(crate) fn distance(&self, other: &Self) -> f64 {
        self.0.iter().zip(&other.0).map(|(a, b)| a.distance(b)).sum::<f64>() / 4.0
    }
}

/// Two histograms of a part of a picture, each of which sums to 1.
struct Histogram {
    luma: [f64; LUMA_BINS],
    /// Around the circle of hues, and grey at the end. A pixel counts for its hue as much as it is colourful, and for
    /// the rest it is grey, so that the hue of what hardly has one does not matter.
    hue: [f64; HUE_BINS + 1],
}

impl Histogram {
    fn of(part: ArrayView3<u8>) -> Self {
        let (height, width, _) = part.dim();
        let share = 1.0 / (height * width) as f64;
        let mut histogram = Self { luma: [0.0; LUMA_BINS], hue: [0.0; HUE_BINS + 1] };
        for pixel in part.lanes(Axis(2)) {
            let [r, g, b] = [0, 1, 2].map(|c| f64::from(pixel[c]) / 255.0);
            let luma = 0.2126 * r + 0.7152 * g + 0.0722 * b;
            split(&mut histogram.luma, luma * (LUMA_BINS - 1) as f64, share);
            let (hue, chroma) = hue_and_chroma(r, g, b);
            split(&mut histogram.hue[..HUE_BINS], hue * HUE_BINS as f64, share * chroma);
            histogram.hue[HUE_BINS] += share * (1.0 - chroma);
        }
        histogram
    }

    /// For luma and for hue, half of the sum of absolute differences, which is the share that is in another bin; the
    /// mean of the two.
    fn distance(&self, other: &Self) -> f64 {
        let sum = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f64>();
        (sum(&self.luma, &other.luma) + sum(&self.hue, &other.hue)) / 4.0
    }
}

/// Shares `weight` out to the two bins next to `at`, counted in bins; the first is next to the last. So a small change
/// of a colour is a small change of the histogram, wherever the borders of the bins are.
fn split(bins: &mut [f64], at: f64, weight: f64) {
    let (low, part) = (at as usize, at.fract());
    bins[low % bins.len()] += weight * (1.0 - part);
    bins[(low + 1) % bins.len()] += weight * part;
}

/// The hue of HSV, 0 to 1 around the circle, and how far from grey it is, 0 to 1.
fn hue_and_chroma(r: f64, g: f64, b: f64) -> (f64, f64) {
    let max = r.max(g).max(b);
    let chroma = max - r.min(g).min(b);
    if chroma == 0.0 {
        return (0.0, 0.0);
    }
    let sixths = if max == r {
        (g - b) / chroma
    } else if max == g {
        (b - r) / chroma + 2.0
    } else {
        (r - g) / chroma + 4.0
    };
    ((sixths / 6.0).rem_euclid(1.0), chroma)
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;

    fn plain(colour: [u8; 3]) -> Histograms {
        Histograms::of(Array3::from_shape_fn([4, 6, 3], |(_, _, c)| colour[c]).view())
    }

    #[track_caller]
    fn assert_apart(a: &Histograms, b: &Histograms, wanted: f64) {
        assert!((a.distance(b) - wanted).abs() < 1e-9, "{}", a.distance(b));
        assert_eq!(a.distance(b), b.distance(a));
    }

    #[test]
    fn histograms_sum_to_one() {
        let noise = Array3::from_shape_fn([8, 6, 3], |(y, x, c)| (y * 89 + x * 41 + c * 57) as u8);
        for part in Histograms::of(noise.view()).0 {
            assert!((part.luma.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            assert!((part.hue.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn hues_go_around_the_circle() {
        for (sixth, [r, g, b]) in [
            [1.0, 0.0, 0.0],
            [1.0, 1.0, 0.0],
            [0.0, 1.0, 0.0],
            [0.0, 1.0, 1.0],
            [0.0, 0.0, 1.0],
            [1.0, 0.0, 1.0],
        ]
        .into_iter()
        .enumerate()
        {
            let (hue, chroma) = hue_and_chroma(r, g, b);
            assert!((hue * 6.0 - sixth as f64).abs() < 1e-9 && chroma == 1.0, "{r} {g} {b}: {hue}");
        }
        assert_eq!(hue_and_chroma(0.3, 0.3, 0.3), (0.0, 0.0));
        assert!((hue_and_chroma(1.0, 0.0, 0.1).0 - (1.0 - 0.1 / 6.0)).abs() < 1e-9);
    }

    #[test]
    fn the_distance_is_the_share_that_moved() {
        assert_apart(&plain([0; 3]), &plain([0; 3]), 0.0);
        // All of luma moves; grey stays grey.
        assert_apart(&plain([0; 3]), &plain([255; 3]), 0.5);
        // A bin of luma is 17 levels wide: half of a bin is half of the mass.
        assert_apart(&plain([34; 3]), &plain([51; 3]), 0.5);
        assert_apart(&plain([68; 3]), &plain([85; 3]), 0.5);
        assert!((plain([100; 3]).distance(&plain([101; 3])) - 0.5 / 17.0).abs() < 1e-9);
        // Red and green of 54.213 and 182.376 of 255, far apart in both.
        assert_apart(&plain([255, 0, 0]), &plain([0, 255, 0]), 1.0);
    }

    #[test]
    fn a_small_step_around_the_circle_is_a_small_distance() {
        let hue = |colour: [u8; 3]| {
            Histogram::of(Array3::from_shape_fn([1, 1, 3], |(_, _, c)| colour[c]).view()).hue
        };
        for (what, a, b, wanted) in [
            ("a bin is half a sixth", [255, 0, 0], [255, 51, 0], 0.4),
            ("over the border between the last bin and the first", [255, 0, 51], [255, 51, 0], 0.4),
            ("nearly grey", [101, 100, 100], [100, 100, 101], 1.0 / 255.0),
        ] {
            let moved = hue(a).iter().zip(hue(b)).map(|(a, b)| (a - b).abs()).sum::<f64>() / 2.0;
            assert!((moved - wanted).abs() < 1e-9, "{what}: {moved}");
        }
    }

    #[test]
    fn quarters_count_alone() {
        let mut left = Array3::zeros([4, 6, 3]);
        left.slice_mut(ndarray::s![.., ..3, ..]).fill(255);
        let mut right = Array3::zeros([4, 6, 3]);
        right.slice_mut(ndarray::s![.., 3.., ..]).fill(255);
        // As many black and white pixels in either.
        assert_apart(&Histograms::of(left.view()), &Histograms::of(right.view()), 0.5);
        left.slice_mut(ndarray::s![..2, ..3, ..]).fill(0);
        assert_apart(&Histograms::of(left.view()), &plain([0; 3]), 0.125);
    }
}
