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
    /// Whether a time stamp is off a constant spacing by more than a tick of the container's time base, or by more
    /// than a third of the spacing where a tick is longer than that.
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

/// Whether a tick is off the line from the first to the last. Ticks that were rounded from constant spacing, whether
/// to nearest or down, are at most one off.
fn is_variable(ticks: &[i64]) -> bool {
    let (Some(first), Some(last)) = (ticks.first(), ticks.last()) else { return false };
    let first = *first as f64;
    let spacing = (*last as f64 - first) / (ticks.len() as f64 - 1.0).max(1.0);
    let tolerance = f64::min(1.0, spacing / 3.0) + 1e-6;
    let off = |(i, tick): (usize, &i64)| (*tick as f64 - first - i as f64 * spacing).abs();
    ticks.iter().enumerate().map(off).any(|off| off > tolerance)
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
        for few in [&[][..], &[7], &[0, 40]] {
            assert!(!is_variable(few));
        }
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
        let mut ticks = rounded(25.0, 1000.0, f64::round);
        ticks[100] += 2;
        assert!(is_variable(&ticks));
    }
}
