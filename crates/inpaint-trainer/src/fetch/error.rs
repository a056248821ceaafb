//! Why data could not be had.

use std::{io, path::PathBuf, time::Duration};

use tensor_batch::{Blame, Fault, Stem};

use super::redirect::RedirectError;
use crate::{DiskError, RunError, Stage};

/// Why data could not be had. URLs are named without user, password, query and fragment.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// There is no such file, or it cannot be read.
    #[error("cannot read `{}`", Stem::new(path.to_string_lossy()))]
    Unreadable {
        /// The path as given.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is a path or a file URL, and those may not be read. Whether the file exists is not said.
    #[error("must be an http or https URL, files of this machine may not be read")]
    File,
    /// Its host, or one that it redirects to, has an address that is not on the public internet.
    #[error("`{url}` leads to an address that is not on the public internet")]
    NotPublic {
        /// The URL.
        url: String,
    },
    /// The server did not hand it out.
    #[error("cannot download `{url}`: the server answered with status {status}")]
    Status {
        /// The URL.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// A redirect is not followed.
    #[error("cannot download `{url}`")]
    Redirect {
        /// The URL.
        url: String,
        /// Why.
        #[source]
        source: RedirectError,
    },
    /// The server cannot be found, reached or understood.
    #[error("cannot download `{url}`")]
    Download {
        /// The URL.
        url: String,
        /// Why.
        #[source]
        source: Box<ureq::Error>,
    },
    /// The connection broke.
    #[error("the download of `{url}` broke off after {bytes} bytes")]
    BrokeOff {
        /// The URL.
        url: String,
        /// Bytes read until then.
        bytes: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Nothing came for too long.
    #[error("the download of `{url}` stopped: nothing came for {} s", silence.as_secs_f64())]
    Silent {
        /// The URL.
        url: String,
        /// The limit.
        silence: Duration,
    },
    /// It took too long.
    #[error("the download of `{url}` takes longer than {} s", time.as_secs_f64())]
    TooSlow {
        /// The URL.
        url: String,
        /// The limit.
        time: Duration,
    },
    /// It is larger than allowed.
    #[error("`{location}` is larger than {limit} bytes")]
    TooLarge {
        /// The URL or path.
        location: String,
        /// The limit.
        limit: u64,
    },
    /// The caller asked to stop.
    #[error("the download of `{url}` was stopped")]
    Stopped {
        /// The URL.
        url: String,
    },
    /// There is no room for it.
    #[error("cannot keep `{url}`")]
    NoRoom {
        /// The URL.
        url: String,
        /// Why.
        #[source]
        source: DiskError,
    },
    /// It cannot be kept.
    #[error("cannot write {}", path.display())]
    Write {
        /// Where to.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Blame for FetchError {
    fn fault(&self) -> Fault {
        match self {
            Self::Stopped { .. } | Self::NoRoom { .. } | Self::Write { .. } => Fault::Service,
            _ => Fault::Request,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::File | Self::NotPublic { .. } => "not-allowed",
            Self::TooLarge { .. } => "too-large",
            Self::Stopped { .. } => "interrupted",
            Self::NoRoom { source, .. } => source.kind(),
            Self::Write { .. } => "io",
            _ => "download-failed",
        }
    }
}

impl FetchError {
    /// As the end of a run that was in `stage`.
    pub(crate) fn ends(self, stage: Stage) -> RunError {
        match self {
            Self::Stopped { .. } => RunError::Interrupted,
            error => RunError::of(stage, error),
        }
    }
}
