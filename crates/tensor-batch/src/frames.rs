//! Frame counts and rates.

use std::fmt;

use crate::{CELL_FRAMES, OutOfRange};

/// A number of pixel frames that the causal VAE can take: `8k+1`, at least 9.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct FrameCount(u32);

impl FrameCount {
    /// The smallest count that can be trained on.
    pub const MIN: Self = Self(9);

    /// Exactly `frames`.
    ///
    /// # Errors
    /// If `frames` is not `8k+1`, below 9 or above 2^16.
    pub fn new(frames: u32) -> Result<Self, OutOfRange> {
        let snapped = Self::snapped(frames)?;
        if snapped.0 != frames {
            return Err(OutOfRange::new("frame count", frames, "8k+1, at least 9"));
        }
        Ok(snapped)
    }

    /// The largest `8k+1` that is not above `frames`: down, never up.
    ///
    /// # Errors
    /// If `frames` is below 9 or above 2^16.
    pub fn snapped(frames: u32) -> Result<Self, OutOfRange> {
        if !(Self::MIN.0..=1 << 16).contains(&frames) {
            return Err(OutOfRange::new("frame count", frames, "at least 9"));
        }
        Ok(Self(frames - (frames - 1) % CELL_FRAMES))
    }

    /// The number of pixel frames.
    pub fn get(self) -> u32 {
        self.0
    }

    /// `8k+1` pixel frames are `k+1` latent frames.
    pub fn latent(self) -> LatentFrames {
        LatentFrames((self.0 - 1) / CELL_FRAMES + 1)
    }
}

impl fmt::Display for FrameCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A number of latent frames, at least 2. Frame 0 is pixel frame 0, frame `k` is pixel frames `8k-7..=8k`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LatentFrames(u32);

impl LatentFrames {
    /// The number of latent frames.
    pub fn get(self) -> u32 {
        self.0
    }

    /// The pixel frames that latent frame `k` stands for.
    pub fn pixel_frames(k: u32) -> std::ops::Range<u32> {
        if k == 0 { 0..1 } else { CELL_FRAMES * k - (CELL_FRAMES - 1)..CELL_FRAMES * k + 1 }
    }
}

/// Frames per second: finite, above 0, at most 1000.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, serde::Serialize)]
pub struct FrameRate(f64);

impl FrameRate {
    /// The rate where none is given: 24 frames per second.
    pub const DEFAULT: Self = Self(24.0);

    /// `fps` frames per second.
    ///
    /// # Errors
    /// If `fps` is not finite, not above 0, or above 1000.
    pub fn new(fps: f64) -> Result<Self, OutOfRange> {
        if fps > 0.0 && fps <= 1000.0 {
            Ok(Self(fps))
        } else {
            Err(OutOfRange::new("frame rate", fps, "above 0, at most 1000 frames per second"))
        }
    }

    /// Frames per second.
    pub fn fps(self) -> f64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_snap_down_and_never_up() {
        for (asked, got) in [(9, 9), (16, 9), (17, 17), (89, 89), (96, 89), (97, 97), (121, 121)] {
            assert_eq!(FrameCount::snapped(asked).unwrap().get(), got);
        }
        assert!(FrameCount::snapped(8).is_err());
        assert!(FrameCount::new(10).is_err());
    }

    #[test]
    fn latent_frames_cover_every_pixel_frame_once() {
        let count = FrameCount::new(25).unwrap();
        let covered: Vec<u32> = (0..count.latent().get()).flat_map(LatentFrames::pixel_frames).collect();
        assert_eq!(covered, (0..25).collect::<Vec<_>>());
    }

    #[test]
    fn a_rate_is_a_positive_number() {
        for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY, 1001.0] {
            assert!(FrameRate::new(wrong).is_err(), "{wrong}");
        }
    }
}
