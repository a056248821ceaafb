//! What can be wrong with a mask.

use tensor_batch::{Blame, Fault};

/// What can be wrong with a mask. The caller knows which mask it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MaskError {
    /// An image that is larger than the limits, by its own header.
    #[error(
        "the image is {width}x{height} pixels, which takes {bytes} bytes to read; at most {max_side} pixels a side and \
         {max_bytes} bytes are allowed"
    )]
    ImageTooLarge {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
        /// Bytes of memory that reading it takes, counted as in [`ImageLimits`](crate::ImageLimits).
        bytes: u64,
        /// The limit on either side.
        max_side: u32,
        /// The limit on bytes.
        max_bytes: u64,
    },
    /// An image of no known format.
    #[error("the file is no png, jpeg, bmp or webp image")]
    UnknownFormat,
    /// An image that is damaged or uses what no decoder here knows.
    #[error("the image cannot be read")]
    UnreadableImage(#[source] image::ImageError),
    /// A video without a frame.
    #[error("the mask video has no frame")]
    NoFrames,
    /// A bucket too large for the memory.
    #[error("there is no memory for a mask of {frames} frames of {width}x{height} pixels")]
    OutOfMemory {
        /// Frames of the bucket.
        frames: usize,
        /// Pixels down.
        height: usize,
        /// Pixels across.
        width: usize,
    },
}

impl Blame for MaskError {
    fn fault(&self) -> Fault {
        match self {
            Self::ImageTooLarge { .. } | Self::UnknownFormat | Self::UnreadableImage(_) | Self::NoFrames => {
                Fault::Request
            }
            Self::OutOfMemory { .. } => Fault::Service,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::ImageTooLarge { .. } => "image-too-large",
            Self::UnknownFormat | Self::UnreadableImage(_) | Self::NoFrames => "unreadable-mask",
            Self::OutOfMemory { .. } => "out-of-memory",
        }
    }
}
