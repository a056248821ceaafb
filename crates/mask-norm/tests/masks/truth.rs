//! What fitting is, by its definition and by brute force: every pixel of the mask against every fitted pixel, in whole
//! numbers.

use ndarray::{Array2, Array3};
use tensor_batch::Geometry;

/// How long mask pixel `i` of `n` and the fitted pixels `from..to` of `whole` overlap, where the whole axis has
/// `n * whole` parts.
pub(crate) fn overlap(i: usize, n: usize, from: u32, to: u32, whole: u32) -> u64 {
    let (i, n, from, to, whole) = (i as u64, n as u64, u64::from(from), u64::from(to), u64::from(whole));
    (to * n).min((i + 1) * whole).saturating_sub((from * n).max(i * whole))
}

/// Whether a white pixel of the mask overlaps these rows and columns of the crop.
pub(crate) fn touches(mask: &Array2<bool>, plan: &Geometry, rows: [u32; 2], columns: [u32; 2]) -> bool {
    let overlapping = |n: usize, [from, to]: [u32; 2], offset: u32, whole: u32| {
        (0..n).filter(move |i| overlap(*i, n, from + offset, to + offset, whole) > 0)
    };
    let columns = overlapping(mask.ncols(), columns, plan.left, plan.resized.width);
    let columns: Vec<usize> = columns.collect();
    overlapping(mask.nrows(), rows, plan.top, plan.resized.height)
        .any(|y| columns.iter().any(|x| mask[[y, *x]]))
}

/// The share of white in the footprint of every pixel of the whole resized clip, as white area and area.
pub(crate) fn footprints(mask: &Array2<bool>, plan: &Geometry) -> (Array2<u64>, u64) {
    let (height, width) = mask.dim();
    let (down, across) = (plan.resized.height, plan.resized.width);
    let rows = Array2::from_shape_fn((down as usize, height), |(j, i)| {
        overlap(i, height, j as u32, j as u32 + 1, down)
    });
    let columns = Array2::from_shape_fn((width, across as usize), |(i, j)| {
        overlap(i, width, j as u32, j as u32 + 1, across)
    });
    let area = rows.dot(&mask.mapv(u64::from)).dot(&columns);
    (area, height as u64 * width as u64)
}

/// The crop of each frame, where any pixel is white that lies within `pixels` along both axes, and within `frames`.
/// `whole` are the masks at the size of the whole resized clip, `shown` which of them each frame shows.
pub(crate) fn dilated(
    whole: &[Array2<bool>],
    shown: &[usize],
    plan: &Geometry,
    [pixels, frames]: [u32; 2],
) -> Array3<bool> {
    let near = |at: usize, reach: u32, end: usize| {
        at.saturating_sub(reach as usize)..end.min(at.saturating_add(reach as usize + 1))
    };
    let (down, across) = (plan.target.height as usize, plan.target.width as usize);
    let grow = |mask: &Array2<bool>| {
        let (height, width) = mask.dim();
        let in_rows = Array2::from_shape_fn((down, width), |(y, x)| {
            near(y + plan.top as usize, pixels, height).any(|y| mask[[y, x]])
        });
        Array2::from_shape_fn((down, across), |(y, x)| {
            near(x + plan.left as usize, pixels, width).any(|x| in_rows[[y, x]])
        })
    };
    let grown: Vec<Array2<bool>> = whole.iter().map(grow).collect();
    Array3::from_shape_fn((shown.len(), down, across), |(f, y, x)| {
        shown[near(f, frames, shown.len())].iter().any(|mask| grown[*mask][[y, x]])
    })
}

/// The pixels of a cell and its frames, as far as there are any.
pub(crate) fn cell(dims: [usize; 3], [k, y, x]: [usize; 3]) -> impl Iterator<Item = [usize; 3]> {
    let frames = tensor_batch::LatentFrames::pixel_frames(k as u32);
    let frames = frames.start as usize..dims[0].min(frames.end as usize);
    let rows = 32 * y..dims[1].min(32 * y + 32);
    let columns = 32 * x..dims[2].min(32 * x + 32);
    frames.flat_map(move |f| {
        let columns = columns.clone();
        rows.clone().flat_map(move |y| columns.clone().map(move |x| [f, y, x]))
    })
}
