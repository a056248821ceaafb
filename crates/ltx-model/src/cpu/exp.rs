//! The exponential, in a form that a compiler can vectorise.

/// Below it the exponential is smaller than the smallest normal number.
const LEAST: f32 = -87.336_54;
/// `ln 2` in two parts, the first of few bits, so that `n ln 2` is exact for the whole range of n.
const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
/// Adding and taking away `1.5 2^23` rounds to the nearest whole number.
const ROUND: f32 = 12_582_912.0;

/// The minimax polynomial of Cephes for `(e^r - 1 - r) / r²` over ±ln(2)/2: the coefficient of its highest power, and the
/// others after it.
const HIGHEST: f32 = 1.987_569_1e-4;
const COEFFICIENTS: [f32; 5] = [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];

/// `e^x` of what is at most 0, or above it by a rounding, as in a softmax: within two units in the last place; 0 where the
/// result would not be a normal number. Half the work of an exponential of any number.
#[inline(always)]
pub(crate) fn exp_of_negative(x: f32) -> f32 {
    // Written so that what is no number passes through.
    let clamped = if x < LEAST { LEAST } else { x };
    let rounded = clamped.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = rounded - ROUND;
    let r = n.mul_add(-LN_2[1], n.mul_add(-LN_2[0], clamped));
    let p = COEFFICIENTS.into_iter().fold(HIGHEST, |p, coefficient| p.mul_add(r, coefficient));
    let y = (p * r).mul_add(r, r) + 1.0;
    // The lowest bits of `rounded` are n.
    let power = f32::from_bits((rounded.to_bits() << 23).wrapping_add(127 << 23));
    if x < LEAST { 0.0 } else { y * power }
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    let e = exp_of_negative(-x.abs());
    let s = 1.0 / (1.0 + e);
    if x < 0.0 { e * s } else { s }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The largest relative error of `f`, in units in the last place, on the way through a range.
    fn worst(range: [f32; 2], f: impl Fn(f32) -> f32, right: impl Fn(f64) -> f64) -> f64 {
        let steps = ((range[1] - range[0]) / 0.000_917) as u32;
        let error = |x: f32| (f64::from(f(x)) / right(f64::from(x)) - 1.0).abs() / f64::from(f32::EPSILON);
        (0..steps).map(|i| error(range[0] + 0.000_917 * i as f32)).fold(0.0, f64::max)
    }

    #[test]
    fn the_exponential_is_right_up_to_a_little_above_nought() {
        assert!(worst([-87.3, 0.01], exp_of_negative, f64::exp) < 2.0);
    }

    #[test]
    fn the_exponential_is_nought_far_below_and_one_at_nought() {
        let found = [f32::MIN, f32::NEG_INFINITY, -90.0, 0.0].map(exp_of_negative);
        assert_eq!(found, [0.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn the_sigmoid_is_right_on_both_sides() {
        assert!(worst([-87.0, 87.0], sigmoid, |x| 1.0 / (1.0 + (-x).exp())) < 4.0);
        let found = [f32::MIN, -200.0, 0.0, 200.0, f32::INFINITY].map(sigmoid);
        assert_eq!(found, [0.0, 0.0, 0.5, 1.0, 1.0]);
    }

    #[test]
    fn what_is_no_number_stays_none() {
        assert!(exp_of_negative(f32::NAN).is_nan() && sigmoid(f32::NAN).is_nan());
    }
}
