//! How much of a clip is decoded at most.

/// Bounds on one pass over a clip, counted on what is decoded and not on what a header claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Pixels of one frame, as coded and as displayed. It also bounds memory: 6 bytes a pixel for the frame in RGB, and
    /// 1.5 or more for each frame that the decoder keeps, which is up to 16 for reference and one for each core.
    pub max_pixels_per_frame: u64,
    /// Decoded frames.
    pub max_frames: u32,
    /// Seconds spent reading and decoding; the time of whoever takes the frames does not count.
    pub max_seconds: u64,
}

impl Default for Limits {
    /// Frames up to 4096x4096 (so 4K in any orientation), 65,536 of them (36 minutes at 30 frames per second), in
    /// 5 minutes.
    fn default() -> Self {
        Self { max_pixels_per_frame: 1 << 24, max_frames: 1 << 16, max_seconds: 300 }
    }
}
