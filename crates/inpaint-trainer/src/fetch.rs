//! Data from a URL or a path.

use std::{
    fs::{self, File},
    io,
    net::IpAddr,
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::Duration,
};

use tensor_batch::Stem;
use ureq::unversioned::resolver::DefaultResolver;

use crate::Location;

mod address;
mod dial;
mod download;
mod error;
mod redirect;

pub use error::FetchError;
pub use redirect::RedirectError;

/// No limit is longer: a moment further away cannot be told on every clock.
const A_YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Where data may come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reach {
    /// `http` and `https` from hosts of the public internet, and no files: for a service, whose users shall not see
    /// its machine and its network. What the service itself has on public addresses is public here too.
    #[default]
    PublicWeb,
    /// `http` and `https` from everywhere, paths and `file` URLs: for a command line, whose user can read them anyway.
    Anywhere,
}

impl Reach {
    fn may_dial(self) -> fn(IpAddr) -> bool {
        match self {
            Self::PublicWeb => address::is_public,
            Self::Anywhere => |_| true,
        }
    }
}

/// Gets data from a URL or a path, within limits. As it comes, it is safe in a service.
///
/// Under [`Reach::PublicWeb`] the address that is connected to is judged, for the first host and after every
/// redirect, and a host with any other address is refused. A redirect leads to `http` or `https`, and never from
/// `https` back to `http`. A proxy is never used.
#[derive(Debug, Clone)]
pub struct Fetcher {
    /// Where data may come from.
    pub reach: Reach,
    /// For a whole download, redirects included.
    pub time: Duration,
    /// For finding a host, for connecting, and for the next byte.
    pub silence: Duration,
    /// Redirects that a download may follow.
    pub redirects: u32,
}

impl Default for Fetcher {
    fn default() -> Self {
        let (time, silence) = (Duration::from_secs(3600), Duration::from_secs(60));
        Self { reach: Reach::PublicWeb, time, silence, redirects: 5 }
    }
}

impl Fetcher {
    /// The file at `location`: where it is if it is a path, else downloaded to `target`, where nothing is left of a
    /// download that fails. `progress` is told the bytes that have come, 0 before each connection, and may stop a
    /// download.
    ///
    /// # Errors
    /// If it may not be had from there, there is no such file, the download fails, or it is larger than `limit` bytes.
    pub fn fetch(
        &self,
        location: &Location,
        target: &Path,
        limit: u64,
        progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<PathBuf, FetchError> {
        match (location.path(), self.reach) {
            (Some(path), Reach::Anywhere) => local(path, limit),
            (Some(_), Reach::PublicWeb) => Err(FetchError::File),
            (None, reach) => {
                let lookup = DefaultResolver::default();
                let agent = dial::agent(self, dial::Guard { may_dial: reach.may_dial(), lookup });
                download::Download { agent, fetcher: self, location, limit }.run(target, progress)?;
                Ok(target.to_owned())
            }
        }
    }

    fn time(&self) -> Duration {
        self.time.min(A_YEAR)
    }

    fn silence(&self) -> Duration {
        self.silence.min(A_YEAR)
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
        return Err(FetchError::TooLarge { location: Stem::new(path.to_string_lossy()).to_string(), limit });
    }
    File::open(path).map_err(unreadable)?;
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests;
