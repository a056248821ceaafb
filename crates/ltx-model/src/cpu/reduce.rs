//! Sums and maxima in a fixed order over sixteen lanes, so that they vectorise and give the same on every machine.

const LANES: usize = 16;

/// The sum of `f(i)` for `i` in `0..count`.
#[inline(always)]
pub(crate) fn sum(count: usize, f: impl Fn(usize) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let whole = count / LANES * LANES;
    for start in (0..whole).step_by(LANES) {
        for (lane, sum) in lanes.iter_mut().enumerate() {
            *sum += f(start + lane);
        }
    }
    for i in whole..count {
        lanes[i - whole] += f(i);
    }
    lanes.iter().sum()
}

/// The largest value; negative infinity if there is none.
#[inline(always)]
pub(crate) fn max(values: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let chunks = values.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (max, value) in lanes.iter_mut().zip(chunk) {
            *max = larger(*max, *value);
        }
    }
    lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, larger)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_counts_once() {
        for count in [0, 1, 15, 16, 17, 100] {
            assert_eq!(sum(count, |i| i as f32), (0..count).sum::<usize>() as f32);
            let values: Vec<f32> = (0..count).map(|i| -((i * 7 % 101) as f32)).collect();
            let right = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            assert_eq!(max(&values), right);
        }
    }
}
