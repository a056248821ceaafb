//! The arithmetic of a training step, which no way of computing it avoids.

/// Sizes of the published transformer.
const WIDTH: f64 = 4096.0;
const CONTEXT: f64 = 1024.0;
pub(super) const LAYERS: u64 = 48;

/// Floating-point operations of one step in 10¹²: every block forward, forward again from its kept input, and backward
/// to inputs alone, as weights are frozen. The adapters, a hundredth of it, are left out.
pub(super) fn teraflop(tokens: u64, layers: u64) -> f64 {
    let tokens = tokens as f64;
    // Four projections of the self-attention, two of the cross-attention on either side, and the feed-forward's two.
    let linear = 2.0 * WIDTH * WIDTH * (14.0 * tokens + 2.0 * CONTEXT);
    let attention = 4.0 * WIDTH * tokens * (tokens + CONTEXT);
    let forward = linear + attention;
    // Backward, a linear layer costs its gradient to the input; an attention five products where forward has two.
    let backward = linear + 2.5 * attention;
    layers as f64 * (2.0 * forward + backward) / 1e12
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_of_the_default_size_takes_672_teraflop() {
        assert_eq!(teraflop(6912, LAYERS).round(), 672.0);
        assert_eq!(teraflop(6912, 24) * 2.0, teraflop(6912, LAYERS));
    }
}
