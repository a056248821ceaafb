//! Data from a URL or a path.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use tensor_batch::{Blame, Fault};
use ureq::Agent;

use crate::{Limits, Location, RunError, Stage};

/// Why data could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// There is no such file, or it cannot be read.
    #[error("cannot read `{}`", path.display())]
    Unreadable {
        /// The path as given.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The server did not hand it out.
    #[error("cannot download `{url}`")]
    Download {
        /// The URL as given.
        url: String,
        /// Why.
        #[source]
        source: Box<ureq::Error>,
    },
    /// The connection broke.
    #[error("the download of `{url}` broke off after {bytes} bytes")]
    BrokeOff {
        /// The URL as given.
        url: String,
        /// Bytes read until then.
        bytes: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is larger than allowed.
    #[error("`{location}` is larger than {limit} bytes")]
    TooLarge {
        /// The URL or path as given.
        location: String,
        /// The limit.
        limit: u64,
    },
    /// The caller asked to stop.
    #[error("the download of `{url}` was stopped")]
    Stopped {
        /// The URL as given.
        url: String,
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
            Self::Stopped { .. } | Self::Write { .. } => Fault::Service,
            Self::Unreadable { .. }
            | Self::Download { .. }
            | Self::BrokeOff { .. }
            | Self::TooLarge { .. } => Fault::Request,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } | Self::Download { .. } | Self::BrokeOff { .. } => "download-failed",
            Self::TooLarge { .. } => "too-large",
            Self::Stopped { .. } => "interrupted",
            Self::Write { .. } => "io",
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

/// The file at `location`: where it is if it is a path, else downloaded to `target`. `progress` is told the bytes,
/// and may stop a download.
///
/// # Errors
/// If there is no such file, the download fails, or it is larger than `limit` bytes.
pub(crate) fn fetch(
    location: &Location,
    target: &Path,
    limit: u64,
    limits: &Limits,
    progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<PathBuf, FetchError> {
    match (location.path(), location.url()) {
        (Some(path), _) => local(path, limit),
        (None, Some(url)) => download(url, target, limit, limits, progress),
        (None, None) => Err(FetchError::TooLarge { location: location.as_str().to_owned(), limit: 0 }),
    }
}

fn local(path: &Path, limit: u64) -> Result<PathBuf, FetchError> {
    let unreadable = |source| FetchError::Unreadable { path: path.to_owned(), source };
    // Opening comes second: it would wait for the writer of a pipe.
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(unreadable(io::Error::other("it is no file")));
    }
    if metadata.len() > limit {
        return Err(FetchError::TooLarge { location: path.display().to_string(), limit });
    }
    File::open(path).map_err(unreadable)?;
    Ok(path.to_owned())
}

fn download(
    url: &str,
    target: &Path,
    limit: u64,
    limits: &Limits,
    progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<PathBuf, FetchError> {
    let config = Agent::config_builder()
        // A library does not read the environment, where a proxy would be named.
        .proxy(None)
        .timeout_global(Some(limits.download_time))
        .max_redirects(limits.redirects)
        .build();
    let failed = |source| FetchError::Download { url: url.to_owned(), source: Box::new(source) };
    let response = Agent::from(config).get(url).call().map_err(failed)?;
    let write = |source| FetchError::Write { path: target.to_owned(), source };
    let mut file = File::create(target).map_err(write)?;
    let mut body = response.into_body().into_reader();
    let mut buffer = vec![0; 1 << 16];
    let mut bytes = 0;
    loop {
        let broke_off = |source| FetchError::BrokeOff { url: url.to_owned(), bytes, source };
        let read = body.read(&mut buffer).map_err(broke_off)?;
        if read == 0 {
            break;
        }
        bytes += read as u64;
        if bytes > limit {
            return Err(FetchError::TooLarge { location: url.to_owned(), limit });
        }
        file.write_all(&buffer[..read]).map_err(write)?;
        if progress(bytes).is_break() {
            return Err(FetchError::Stopped { url: url.to_owned() });
        }
    }
    file.sync_all().map_err(write)?;
    Ok(target.to_owned())
}

#[cfg(test)]
mod tests;
