//! What can go wrong with a video.

use std::io;

use tensor_batch::{Blame, Fault, ShapeMismatch, Size};

/// Why a clip could not be read, or not be written. It does not name the file: only the caller knows what the user
/// called it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VideoError {
    /// The first bytes are those of no container that is read here.
    #[error("expected an mp4, mov, webm, mkv or avi file, found one that starts with {found:?}")]
    UnknownContainer {
        /// The first bytes, at most 12, escaped.
        found: String,
    },
    /// The container is known and its content is not what it should be.
    #[error("cannot read the {container} file")]
    Unreadable {
        /// The container that the first bytes tell.
        container: &'static str,
        /// What FFmpeg says.
        #[source]
        source: io::Error,
    },
    /// There is a container, without video in it.
    #[error("the {container} file has no video stream")]
    NoVideo {
        /// The container that the first bytes tell.
        container: &'static str,
    },
    /// Not one frame came out.
    #[error("no frame of the clip could be decoded")]
    NoFrames,
    /// A frame is larger than the limit.
    #[error("frames are {found}, expected at most {limit} pixels")]
    TooLarge {
        /// Width and height of a frame.
        found: Size,
        /// [`Limits::max_pixels_per_frame`](crate::Limits::max_pixels_per_frame).
        limit: u64,
    },
    /// There are more frames than the limit.
    #[error("the clip has more than {limit} frames: cut it into shorter ones")]
    TooManyFrames {
        /// [`Limits::max_frames`](crate::Limits::max_frames).
        limit: u32,
    },
    /// Decoding took longer than the limit.
    #[error("decoding did not end within {limit} s, after {decoded} frames: cut the clip or re-encode it")]
    Deadline {
        /// [`Limits::max_seconds`](crate::Limits::max_seconds).
        limit: u64,
        /// Frames decoded by then.
        decoded: u32,
    },
    /// The clip ends before the last frame of a plan.
    #[error("the clip ends before frame {missing}, counted from 0")]
    EndsEarly {
        /// The first frame of the plan that is not there.
        missing: u32,
    },
    /// Frames and plan disagree. Always a mistake of the code that brought them together.
    #[error(transparent)]
    Shape(#[from] ShapeMismatch),
    /// 4:2:0 video has even sides.
    #[error("cannot write frames of {found}, expected even width and height, at least 2 each")]
    OddSize {
        /// The size asked for.
        found: Size,
    },
    /// This build of FFmpeg lacks something.
    #[error("this build of FFmpeg has no {what}")]
    Missing {
        /// What it lacks, such as `encoder libx264`.
        what: &'static str,
    },
    /// Scaling or encoding failed.
    #[error("cannot {what}")]
    Ffmpeg {
        /// What was tried.
        what: &'static str,
        /// What FFmpeg says.
        #[source]
        source: io::Error,
    },
    /// The file system failed.
    #[error("cannot {what} the video file")]
    Io {
        /// What was tried: read, write, rename.
        what: &'static str,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

impl Blame for VideoError {
    fn fault(&self) -> Fault {
        match self {
            Self::UnknownContainer { .. }
            | Self::Unreadable { .. }
            | Self::NoVideo { .. }
            | Self::NoFrames
            | Self::TooLarge { .. }
            | Self::TooManyFrames { .. }
            | Self::Deadline { .. }
            | Self::EndsEarly { .. } => Fault::Request,
            Self::Shape(_)
            | Self::OddSize { .. }
            | Self::Missing { .. }
            | Self::Ffmpeg { .. }
            | Self::Io { .. } => Fault::Service,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::UnknownContainer { .. }
            | Self::Unreadable { .. }
            | Self::NoVideo { .. }
            | Self::NoFrames => "unreadable-clip",
            Self::TooManyFrames { .. } | Self::Deadline { .. } => "unprobeable-clip",
            Self::TooLarge { .. } => "too-large",
            Self::EndsEarly { .. } => "too-few-frames",
            Self::Shape(mismatch) => mismatch.kind(),
            Self::OddSize { .. } => "odd-size",
            Self::Missing { .. } => "missing-codec",
            Self::Ffmpeg { .. } => "ffmpeg",
            Self::Io { .. } => "io",
        }
    }
}
