//! The exponential, in a form that a compiler can vectorise.

/// Below it the exponential is smaller than the smallest normal number; above the other it overflows.
const RANGE: [f32; 2] = [-87.336_54, 88.722_83];
/// `ln 2` in two parts, the first of few bits, so that `n ln 2` is exact for the whole range of n.
const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
/// Adding and taking away `1.5 2^23` rounds to the nearest whole number.
const ROUND: f32 = 12_582_912.0;

/// The minimax polynomial of Cephes for `(e^r - 1 - r) / r²` over ±ln(2)/2, the highest power first.
const COEFFICIENTS: [f32; 6] =
    [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];

/// `e^x` within two units in the last place; 0 where the result would not be a normal number.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Written so that what is no number passes through.
    let clamped = if x < RANGE[0] { RANGE[0] } else { x };
    let clamped = if clamped > RANGE[1] { RANGE[1] } else { clamped };
    let rounded = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = clamped - n * LN_2[0] - n * LN_2[1];
    let p = COEFFICIENTS.into_iter().fold(0.0, |p, coefficient| p * r + coefficient);
    let y = p * r * r + r + 1.0;
    // 2^n in two factors, since n = 128 is no exponent of a float.
    let n = rounded.to_bits().wrapping_sub(ROUND.to_bits()) as i32;
    let power = |n: i32| f32::from_bits((n.wrapping_add(127) << 23) as u32);
    let y = y * power(n >> 1) * power(n.wrapping_sub(n >> 1));
    if x < RANGE[0] { 0.0 } else { y }
}

/// `e^x` of what is at most 0, or above it by a rounding, as in a softmax: half the work of [`exp`], in fused
/// multiplications and additions. Within two units in the last place; 0 where the result would not be a normal number.
#[inline(always)]
pub(crate) fn exp_of_negative(x: f32) -> f32 {
    let clamped = if x < RANGE[0] { RANGE[0] } else { x };
    let rounded = clamped.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = rounded - ROUND;
    let r = n.mul_add(-LN_2[1], n.mul_add(-LN_2[0], clamped));
    let p = COEFFICIENTS.into_iter().fold(0.0, |p: f32, coefficient| p.mul_add(r, coefficient));
    let y = (p * r).mul_add(r, r) + 1.0;
    // The lowest bits of `rounded` are n.
    let power = f32::from_bits((rounded.to_bits() << 23).wrapping_add(127 << 23));
    if x < RANGE[0] { 0.0 } else { y * power }
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_right_over_the_whole_range() {
        let mut x = -87.3f32;
        while x < 88.7 {
            let right = f64::from(x).exp();
            let error = (f64::from(exp(x)) - right).abs() / right;
            assert!(error < 2.0 * f64::from(f32::EPSILON), "exp({x}) is off by {error}");
            x += 0.000_917;
        }
    }

    #[test]
    fn it_is_nought_far_below_and_one_at_nought() {
        assert_eq!([exp(f32::MIN), exp(f32::NEG_INFINITY), exp(-90.0), exp(0.0)], [0.0, 0.0, 0.0, 1.0]);
        assert!(exp(88.72).is_finite() && exp(89.0) > 3.0e38 && exp(f32::INFINITY) > 3.0e38);
        assert_eq!([sigmoid(0.0), sigmoid(200.0)], [0.5, 1.0]);
        assert!((0.0..1e-37).contains(&sigmoid(-200.0)));
    }

    #[test]
    fn that_of_negatives_is_right_up_to_a_little_above_nought() {
        let mut x = -87.3f32;
        while x < 0.01 {
            let right = f64::from(x).exp();
            let error = (f64::from(exp_of_negative(x)) - right).abs() / right;
            assert!(error < 2.0 * f64::from(f32::EPSILON), "the exponential of {x} is off by {error}");
            x += 0.000_917;
        }
        let found = [f32::MIN, f32::NEG_INFINITY, -90.0, 0.0].map(exp_of_negative);
        assert_eq!(found, [0.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn what_is_no_number_stays_none() {
        assert!(exp(f32::NAN).is_nan() && exp_of_negative(f32::NAN).is_nan());
    }
}
