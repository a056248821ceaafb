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
    folded(lanes, |a, b| a + b)
}

/// Puts `f(value)` in the place of every value; the sum of all.
#[inline(always)]
pub(crate) fn sum_of_replaced(values: &mut [f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (chunks, rest) = values.as_chunks_mut::<LANES>();
    for chunk in chunks {
        for (sum, value) in lanes.iter_mut().zip(chunk) {
            *value = f(*value);
            *sum += *value;
        }
    }
    for (sum, value) in lanes.iter_mut().zip(rest) {
        *value = f(*value);
        *sum += *value;
    }
    folded(lanes, |a, b| a + b)
}

/// The largest value; negative infinity if there is none.
#[inline(always)]
pub(crate) fn max(values: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for (max, value) in lanes.iter_mut().zip(chunk) {
            *max = larger(*max, *value);
        }
    }
    for (max, value) in lanes.iter_mut().zip(rest) {
        *max = larger(*max, *value);
    }
    folded(lanes, larger)
}

/// All lanes in one, halves upon halves: four operations one after the other and not fifteen.
#[inline(always)]
fn folded(mut lanes: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] = f(lanes[i], lanes[i + half]);
        }
        half /= 2;
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_counts_once() {
        for count in [0, 1, 15, 16, 17, 100] {
            assert_eq!(sum(count, |i| i as f32), (0..count).sum::<usize>() as f32);
            let mut counted: Vec<f32> = (0..count).map(|i| i as f32).collect();
            assert_eq!(sum_of_replaced(&mut counted, |i| i + 1.0), (1..=count).sum::<usize>() as f32);
            assert!(counted.iter().zip(1..).all(|(value, i)| *value == i as f32));
            let values: Vec<f32> = (0..count).map(|i| -((i * 7 % 101) as f32)).collect();
            let right = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            assert_eq!(max(&values), right);
        }
    }
}
