//! A mask frame laid over its whole clip, then scaled and cropped as the clip is, and grown.

use ndarray::{Array2, Array3, ArrayViewMut2, Axis as Dimension};
use tensor_batch::Geometry;

use crate::{
    axis::{Axis, Run},
    share::Share,
};

/// Fits a mask frame, `[height, width]` at its own resolution, into `fitted`: white where enough of a footprint is
/// white, or that of a pixel within `growth` fitted pixels along each axis, be it outside the crop.
///
/// Time grows with the pixels of the mask and of the crop, whatever the geometry and the growth.
pub(crate) fn fit(
    white: &Array2<bool>,
    geometry: &Geometry,
    share: Share,
    growth: u32,
    mut fitted: ArrayViewMut2<'_, bool>,
) {
    fitted.fill(false);
    let ((height, width), target) = (white.dim(), geometry.target);
    let white = white.as_standard_layout();
    let (Some(white), false) = (white.as_slice(), white.is_empty() || fitted.is_empty()) else { return };
    let rows = Axis::new(height, geometry.resized.height, geometry.top, target.height, growth);
    let columns = Axis::new(width, geometry.resized.width, geometry.left, target.width, growth);
    let footprint = height as u64 * width as u64;
    let mut sums = ColumnSums::new(&columns);
    let mut line = vec![false; fitted.ncols()];
    let mut widened = Widened::new(fitted.ncols());
    for (mut out, (row, near)) in fitted.outer_iter_mut().zip(rows.steps()) {
        for run in near {
            if sums.gather(white, width, &rows, run) {
                sums.fit(&columns, |area| share.is_met(area, footprint), &mut line);
                widened.meet(run, line.iter());
            }
        }
        widened.show(row, out.iter_mut());
    }
}

/// Widens white by `growth` frames before and after, in place.
pub(crate) fn grow_in_time(pixels: &mut Array3<bool>, growth: u32) {
    let (frames, height, width) = pixels.dim();
    if growth == 0 || pixels.is_empty() {
        return;
    }
    let frames = Axis::of_frames(u32::try_from(frames).unwrap_or(u32::MAX), growth);
    for row in 0..height {
        let mut lines = pixels.index_axis_mut(Dimension(1), row);
        let mut widened = Widened::new(width);
        let mut next = 0;
        for (frame, near) in frames.steps() {
            // A line is met no later than it is overwritten.
            for run in near {
                widened.meet(run, lines.row(next).iter());
                next += 1;
            }
            widened.show(frame, lines.row_mut(frame as usize).iter_mut());
        }
    }
}

/// Lines of pixels widened across themselves: how far the white of the lines met so far reaches, for each pixel.
struct Widened {
    until: Vec<u32>,
}

impl Widened {
    fn new(pixels: usize) -> Self {
        Self { until: vec![0; pixels] }
    }

    fn meet<'a>(&mut self, run: &Run, line: impl Iterator<Item = &'a bool>) {
        for (until, white) in self.until.iter_mut().zip(line) {
            *until = if *white { run.reach.end } else { *until };
        }
    }

    fn show<'a>(&self, position: u32, line: impl Iterator<Item = &'a mut bool>) {
        line.zip(&self.until).for_each(|(out, until)| *out = position < *until);
    }
}

/// The length of white in each column of the mask that the crop shows, within the rows of one run.
struct ColumnSums {
    first: usize,
    sums: Vec<u64>,
}

impl ColumnSums {
    fn new(columns: &Axis) -> Self {
        let shown = columns.shown();
        Self { first: shown.start, sums: vec![0; shown.len()] }
    }

    /// Sums up a run's rows of the mask, each `width` pixels of `white`; false if there is no white.
    fn gather(&mut self, white: &[bool], width: usize, rows: &Axis, run: &Run) -> bool {
        let mut any = false;
        for (y, overlap) in run.pixels.clone().zip(rows.overlaps(run)) {
            let row = &white[y * width + self.first..][..self.sums.len()];
            if row.iter().fold(false, |any, white| any | white) {
                if !any {
                    self.sums.fill(0);
                }
                any = true;
                self.sums
                    .iter_mut()
                    .zip(row)
                    .for_each(|(sum, white)| *sum += if *white { *overlap } else { 0 });
            }
        }
        any
    }

    /// One fitted row, widened along itself.
    fn fit(&self, columns: &Axis, is_white: impl Fn(u64) -> bool, line: &mut [bool]) {
        line.fill(false);
        let mut done = 0;
        let mut runs = columns.runs();
        while let Some(run) = runs.first() {
            let sums = &self.sums[run.pixels.start - self.first..];
            let area = sums.iter().zip(columns.overlaps(run)).map(|(sum, overlap)| sum * overlap).sum();
            let (alike, others) = runs.split_at(self.alike(runs));
            if let (Some(last), true) = (alike.last(), is_white(area)) {
                let end = line.len().min(last.reach.end as usize);
                line[done.max(run.reach.start as usize).min(end)..end].fill(true);
                done = end;
            }
            runs = others;
        }
    }

    /// How many of these runs, from the first on, show nothing but columns of one sum, or else one run. Most of a mask
    /// is flat.
    fn alike(&self, runs: &[Run]) -> usize {
        let Some(run) = runs.first() else { return 0 };
        let sums = &self.sums[run.pixels.start - self.first..];
        let end = run.pixels.start + sums.iter().take_while(|sum| **sum == sums[0]).count();
        if end <= run.pixels.end { 1 } else { runs.partition_point(|run| run.pixels.end <= end) }
    }
}
