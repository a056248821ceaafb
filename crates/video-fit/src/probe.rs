//! What a clip is, by its frames.

use std::path::Path;

use tensor_batch::{FrameRate, Size};

use crate::{Limits, VideoError, decode::Decoder};

/// What a clip is. Only the rate is the header's word.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// Size as displayed: rotation and sample aspect ratio are applied.
    pub size: Size,
    /// The average rate that the stream states, else its base rate, else 24.
    pub rate: FrameRate,
    /// Presentation times in seconds, ascending, one for each frame that decodes; at least one.
    pub times: Vec<f64>,
    /// Whether a time stamp, rounded to the container's time base as it is, is off a constant spacing by more than a
    /// tick of it, or by more than a third of the spacing where that is less.
    pub variable_rate: bool,
}

impl Probe {
    /// The number of frames that decode.
    pub fn frames(&self) -> u32 {
        self.times.len() as u32
    }
}

/// Decodes the whole clip at `path` once. A clip whose tail is damaged is as long as what decodes.
///
/// # Errors
/// If the file is no video of a known container, if no frame decodes, or if it exceeds `limits`.
pub fn probe(path: &Path, limits: &Limits) -> Result<Probe, VideoError> {
    let mut decoder = Decoder::open(path, limits)?;
    let mut size = None;
    let mut ticks = Vec::new();
    while decoder.advance()? {
        if size.is_none() {
            size = Some(decoder.orientation().turned(decoder.square_size()?));
        }
        ticks.push(decoder.tick());
    }
    let time = |tick: &i64| *tick as f64 * decoder.time_base();
    Ok(Probe {
        size: size.ok_or(VideoError::NoFrames)?,
        rate: decoder.rate(),
        times: ticks.iter().map(time).collect(),
        variable_rate: is_variable(&ticks),
    })
}

/// Whether a tick is off the straight line that is nearest to all (in the sense of least squares) by more than half a
/// tick of rounding and one tick either way. Where that is no less than a frame left out, a third of a frame is off.
fn is_variable(ticks: &[i64]) -> bool {
    let [first, .., last] = ticks else { return false };
    let count = ticks.len() as f64;
    let (middle, mean_spacing) = ((count - 1.0) / 2.0, last.saturating_sub(*first) as f64 / (count - 1.0));
    // What is left over the mean spacing: small numbers, so that long clips lose no digits.
    let rest = |(i, tick): (usize, &i64)| {
        let from_middle = i as f64 - middle;
        (from_middle, tick.saturating_sub(*first) as f64 - i as f64 * mean_spacing)
    };
    let rests = || ticks.iter().enumerate().map(rest);
    let mean = rests().map(|(_, rest)| rest).sum::<f64>() / count;
    let slope = rests().map(|(x, rest)| x * rest).sum::<f64>() / rests().map(|(x, _)| x * x).sum::<f64>();
    let tolerance = f64::min(1.5, mean_spacing / 3.0) + 1e-6;
    rests().any(|(x, rest)| (rest - mean - x * slope).abs() > tolerance)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounded(fps: f64, ticks_per_second: f64, round: fn(f64) -> f64) -> Vec<i64> {
        (0..500).map(|i| round(f64::from(i) * ticks_per_second / fps) as i64).collect()
    }

    #[test]
    fn rounding_to_the_time_base_is_no_variable_rate() {
        for fps in [23.976, 24.0, 25.0, 29.97, 30.0, 59.94, 60.0, 240.0] {
            for ticks_per_second in [600.0, 1000.0, 15360.0, 90000.0] {
                assert!(
                    !is_variable(&rounded(fps, ticks_per_second, f64::round)),
                    "{fps} {ticks_per_second}"
                );
                assert!(
                    !is_variable(&rounded(fps, ticks_per_second, f64::floor)),
                    "{fps} {ticks_per_second}"
                );
            }
        }
        for few in [&[][..], &[7], &[0, 40], &[i64::MIN, i64::MAX]] {
            assert!(!is_variable(few));
        }
        assert!(is_variable(&[i64::MIN, 0, 1, i64::MAX]));
    }

    #[test]
    fn a_frame_left_out_or_late_is_a_variable_rate() {
        for ticks_per_second in [25.0, 600.0, 1000.0, 90000.0] {
            let constant = rounded(25.0, ticks_per_second, f64::round);
            for left_out in [1, 250, 498] {
                let mut ticks = constant.clone();
                ticks.remove(left_out);
                assert!(is_variable(&ticks), "{left_out} of {ticks_per_second}");
            }
        }
        for (late, variable) in [(1, false), (-1, false), (2, true), (-2, true)] {
            let mut ticks = rounded(25.0, 1000.0, f64::round);
            ticks[100] += late;
            assert_eq!(is_variable(&ticks), variable, "{late}");
        }
    }

    #[test]
    fn a_tick_either_way_is_no_variable_rate() {
        // A linear congruential generator, for jitter that looks random.
        let mut state = 1_u64;
        let mut jitter = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as i64 % 3 - 1
        };
        for (fps, ticks_per_second) in
            [(25.0, 1000.0), (50.0, 1000.0), (24.0, 15360.0), (60.0, 15360.0), (30.0, 90000.0)]
        {
            for count in [20, 100, 500] {
                let mut ticks = rounded(fps, ticks_per_second, f64::round);
                ticks.truncate(count);
                ticks.iter_mut().for_each(|tick| *tick += jitter());
                assert!(!is_variable(&ticks), "{fps} {ticks_per_second} {count}");
            }
        }
    }
}
