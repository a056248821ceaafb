//! Splitting work over threads and widening it over vector lanes.

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
    out.par_chunks_mut(rows * width).enumerate().for_each(|(band, out)| {
        simd(
            #[inline(always)]
            || {
                for (row, out) in out.chunks_exact_mut(width).enumerate() {
                    work(band * rows + row, out);
                }
            },
        );
    });
}

fn rows_of_a_band(width: usize) -> usize {
    (GRAIN / width.max(1)).max(1)
}
