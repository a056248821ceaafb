//! Widening work over vector lanes.

use pulp::Arch;

/// Runs `work`, and all that is inlined into it, with the widest vector instructions of this machine.
#[inline(always)]
pub(crate) fn simd<R>(work: impl FnOnce() -> R) -> R {
    Arch::new().dispatch(work)
}
