//! Splitting work over threads and widening it over vector lanes.

use std::mem::MaybeUninit;

use pulp::Arch;
use rayon::prelude::*;

/// Values that a thread should work on before it asks for more.
const GRAIN: usize = 16_384;

/// Runs `work`, and all that is inlined into it, with the widest vector instructions of this machine.
#[inline(always)]
pub(crate) fn simd<R>(work: impl FnOnce() -> R) -> R {
    Arch::new().dispatch(work)
}

/// Hands every row of `out`, `width` values each, with its number to `work`.
pub(crate) fn by_rows(out: &mut [f32], width: usize, work: impl Fn(usize, &mut [f32]) + Sync) {
    let rows = rows_of_a_band(width);
    let bands = out.par_chunks_mut(rows * width).enumerate().with_max_len(1);
    bands.for_each(|(band, out)| each_row(out, width, band * rows, &work));
}

/// A buffer of `len` values, whose rows of `width` values were nought when `work` got them with their numbers.
pub(crate) fn rows(len: usize, width: usize, work: impl Fn(usize, &mut [f32]) + Sync) -> Vec<f32> {
    let rows = rows_of_a_band(width);
    bands(len, rows * width, |band, out| each_row(out, width, band * rows, &work))
}

/// A buffer of `len` values, whose values `work` makes some at a time, given the number of the first.
pub(crate) fn values(len: usize, work: impl Fn(usize, &mut [f32]) + Sync) -> Vec<f32> {
    bands(len, GRAIN, |band, out| {
        simd(
            #[inline(always)]
            || work(band * GRAIN, out),
        );
    })
}

/// A buffer of noughts.
pub(crate) fn zeros(len: usize) -> Vec<f32> {
    bands(len, GRAIN, |_, _| ())
}

/// A buffer whose bands were nought when `work` got them. The thread that works on a band clears it, and is the first to
/// touch it: clearing all beforehand would keep the other threads waiting.
fn bands(len: usize, band: usize, work: impl Fn(usize, &mut [f32]) + Sync) -> Vec<f32> {
    let mut out = Vec::with_capacity(len);
    let of_out = out.spare_capacity_mut()[..len].par_chunks_mut(band.max(1)).enumerate().with_max_len(1);
    of_out.for_each(|(band, out)| {
        out.fill(MaybeUninit::new(0.0));
        // SAFETY: the line above has written every value.
        work(band, unsafe { out.assume_init_mut() });
    });
    // SAFETY: the bands are all of the buffer, and each was written.
    unsafe { out.set_len(len) };
    out
}

#[inline(always)]
fn each_row(out: &mut [f32], width: usize, first: usize, work: &(impl Fn(usize, &mut [f32]) + Sync)) {
    simd(
        #[inline(always)]
        || {
            for (row, out) in out.chunks_exact_mut(width).enumerate() {
                work(first + row, out);
            }
        },
    );
}

fn rows_of_a_band(width: usize) -> usize {
    (GRAIN / width.max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_of_many_bands_are_filled_where_they_should_be() {
        let right: Vec<f32> = (0..3 * GRAIN + 7).map(|i| i as f32).collect();
        let numbered = |first: usize, out: &mut [f32]| {
            assert!(out.iter().all(|value| *value == 0.0));
            out.iter_mut().enumerate().for_each(|(i, value)| *value = (first + i) as f32);
        };
        assert_eq!(values(right.len(), numbered), right);
        for width in [1, 7, 300, GRAIN + 1] {
            let right = &right[..right.len() / width * width];
            assert_eq!(rows(right.len(), width, |row, out| numbered(row * width, out)), right);
            let mut out = vec![0.0; right.len()];
            by_rows(&mut out, width, |row, out| numbered(row * width, out));
            assert_eq!(out, right);
        }
        assert_eq!(zeros(GRAIN + 3), vec![0.0; GRAIN + 3]);
        assert!(rows(0, 4, numbered).is_empty());
    }
}
