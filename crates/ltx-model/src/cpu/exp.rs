//! The exponential, in a form that a compiler can vectorise.

/// Below it the exponential is smaller than the smallest normal number; above the other it overflows.
const RANGE: [f32; 2] = [-87.336_54, 88.722_83];
/// `ln 2` in two parts, the first of few bits, so that `n ln 2` is exact for the whole range of n.
const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
/// Adding and taking away `1.5 2^23` rounds to the nearest whole number.
const ROUND: f32 = 12_582_912.0;

/// `e^x` within two units in the last place; 0 where the result would not be a normal number.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Written so that what is no number passes through.
    let clamped = if x < RANGE[0] { RANGE[0] } else { x };
    let clamped = if clamped > RANGE[1] { RANGE[1] } else { clamped };
    let rounded = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = clamped - n * LN_2[0] - n * LN_2[1];
    // The minimax polynomial of Cephes for (e^r - 1 - r) / r² over ±ln(2)/2.
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    let y = p * r * r + r + 1.0;
    // 2^n in two factors, since n = 128 is no exponent of a float.
    let n = rounded.to_bits().wrapping_sub(ROUND.to_bits()) as i32;
    let power = |n: i32| f32::from_bits((n.wrapping_add(127) << 23) as u32);
    let y = y * power(n >> 1) * power(n.wrapping_sub(n >> 1));
    if x < RANGE[0] { 0.0 } else { y }
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
    fn what_is_no_number_stays_none() {
        assert!(exp(f32::NAN).is_nan());
    }
}
