//! One axis of a fit: which part of the mask each fitted pixel shows, in whole numbers.

use std::ops::Range;

/// The fitted pixels of a crop along one axis, and what of the mask they show.
///
/// A fitted pixel's footprint is the part of the mask that it shows. Footprints lie side by side, so every mask pixel
/// inside the crop belongs to at least one. Lengths are counted so that the whole axis has `mask * resized` parts: a
/// mask pixel is `resized` of them long, a footprint `mask`. A float would now and then take in a neighbour, or lose
/// a pixel.
#[derive(Debug)]
pub(crate) struct Axis {
    count: u32,
    runs: Vec<Run>,
    overlaps: Vec<u64>,
}

/// One fitted pixel, or several side by side that show the same single pixel of the mask.
#[derive(Debug)]
pub(crate) struct Run {
    /// Where in the crop its white reaches: its own pixels, widened by the growth on either side. The end may lie
    /// beyond the crop's.
    pub(crate) reach: Range<u32>,
    /// The mask's pixels that its footprint overlaps.
    pub(crate) pixels: Range<usize>,
    first_overlap: usize,
}

impl Axis {
    /// The `count` fitted pixels from `offset` on, where `resized` of them span all `mask` pixels of the mask. White
    /// reaches `growth` fitted pixels to either side, into the crop as well: so what lies that near to it counts.
    pub(crate) fn new(mask: usize, resized: u32, offset: u32, count: u32, growth: u32) -> Self {
        let (resized, offset, growth) = (u64::from(resized), u64::from(offset), u64::from(growth));
        let mut axis = Self { count, runs: Vec::new(), overlaps: Vec::new() };
        let end = if mask == 0 { 0 } else { resized.min(offset + u64::from(count) + growth) };
        let mut start = offset.saturating_sub(growth);
        while start < end {
            let (next, pixels, overlaps) = run(start, end, [mask as u64, resized]);
            let in_crop = |at: u64| u32::try_from(at.saturating_sub(offset)).unwrap_or(u32::MAX);
            let reach = in_crop(start.saturating_sub(growth))..in_crop(next + growth);
            axis.runs.push(Run { reach, pixels, first_overlap: axis.overlaps.len() });
            axis.overlaps.extend(overlaps);
            start = next;
        }
        axis
    }

    /// Every frame by itself, its white reaching `growth` frames to either side.
    pub(crate) fn of_frames(frames: u32, growth: u32) -> Self {
        Self::new(frames as usize, frames, 0, frames, growth)
    }

    /// Each position of the crop, ascending, with the runs whose reach begins by then and did not before.
    pub(crate) fn steps(&self) -> impl Iterator<Item = (u32, &[Run])> {
        let mut rest = self.runs.as_slice();
        (0..self.count).map(move |position| {
            let near = rest.iter().take_while(|run| run.reach.start <= position).count();
            let (near, later) = rest.split_at(near);
            rest = later;
            (position, near)
        })
    }

    /// All runs, ascending.
    pub(crate) fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// How much of each of a run's pixels lies in its footprint, above 0.
    pub(crate) fn overlaps(&self, run: &Run) -> &[u64] {
        &self.overlaps[run.first_overlap..][..run.pixels.len()]
    }

    /// The pixels of the mask that some run shows.
    pub(crate) fn shown(&self) -> Range<usize> {
        let [first, last] = [self.runs.first(), self.runs.last()].map(|run| run.map(|run| &run.pixels));
        first.map_or(0, |first| first.start)..last.map_or(0, |last| last.end)
    }
}

/// From the fitted pixel `start` on, and short of `end`: where the next run begins, which of the mask's pixels this one
/// shows, and how much of each.
fn run(start: u64, end: u64, [mask, resized]: [u64; 2]) -> (u64, Range<usize>, impl Iterator<Item = u64>) {
    // The product of two lengths may need more than 64 bits.
    let [mask, resized] = [mask, resized].map(u128::from);
    let (from, to) = (u128::from(start) * mask, (u128::from(start) + 1) * mask);
    let pixels = from / resized..to.div_ceil(resized);
    let next = match pixels.end - pixels.start {
        1 => (pixels.end * resized / mask).min(end.into()) as u64,
        _ => start + 1,
    };
    let overlap = move |pixel| (to.min((pixel + 1) * resized) - from.max(pixel * resized)) as u64;
    (next, pixels.start as usize..pixels.end as usize, pixels.map(overlap))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Its reach, and its pixels with their overlaps.
    type Shown = (Range<u32>, Vec<(usize, u64)>);

    fn runs(axis: &Axis) -> Vec<Shown> {
        let overlaps = |run: &Run| run.pixels.clone().zip(axis.overlaps(run).iter().copied()).collect();
        axis.runs.iter().map(|run| (run.reach.clone(), overlaps(run))).collect()
    }

    #[test]
    fn footprints_are_exact_where_floats_are_not() {
        // In floats, 49 * (1.0 / 49.0) < 1.0.
        for pixels in 1..200u32 {
            let axis = Axis::new(pixels as usize, pixels, 0, pixels, 0);
            for (i, (reach, overlaps)) in runs(&axis).into_iter().enumerate() {
                assert_eq!((reach, overlaps), (i as u32..i as u32 + 1, vec![(i, pixels.into())]));
            }
        }
    }

    #[test]
    fn a_footprint_takes_part_of_a_pixel_or_several() {
        let axis = Axis::new(2, 3, 0, 3, 0);
        assert_eq!(runs(&axis), [(0..1, vec![(0, 2)]), (1..2, vec![(0, 1), (1, 1)]), (2..3, vec![(1, 2)])]);
        assert_eq!(
            runs(&Axis::new(8, 4, 1, 2, 0)),
            [(0..1, vec![(2, 4), (3, 4)]), (1..2, vec![(4, 4), (5, 4)])]
        );
    }

    #[test]
    fn fitted_pixels_that_show_one_mask_pixel_are_one_run() {
        assert_eq!(
            runs(&Axis::new(2, 7, 0, 7, 0)),
            [(0..3, vec![(0, 2)]), (3..4, vec![(0, 1), (1, 1)]), (4..7, vec![(1, 2)])]
        );
        let axis = Axis::new(3, u32::MAX, 7, 32, u32::MAX);
        assert_eq!(axis.runs.len(), 3); // u32::MAX is three times a whole number
    }

    #[test]
    fn growth_reaches_into_the_crop_from_outside_and_not_beyond_the_mask() {
        let axis = Axis::new(10, 10, 4, 2, 3);
        let reaches: Vec<_> = axis.runs.iter().map(|run| run.reach.clone()).collect();
        assert_eq!(reaches, [0..1, 0..2, 0..3, 0..4, 0..5, 0..6, 0..7, 1..8]);
        let near: Vec<_> = axis.steps().map(|(position, runs)| (position, runs.len())).collect();
        assert_eq!(near, [(0, 7), (1, 1)]);
        assert_eq!(axis.shown(), 1..9);
    }

    #[test]
    fn without_a_mask_or_a_clip_nothing_is_shown() {
        for (mask, resized) in [(0, 5), (5, 0), (0, 0)] {
            let axis = Axis::new(mask, resized, 0, 4, 2);
            assert!(axis.runs.is_empty());
            assert_eq!((axis.steps().count(), axis.shown()), (4, 0..0));
        }
    }
}
