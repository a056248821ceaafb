//! A download: redirects, the answer, the file.

use std::{
    io::{Read, Write},
    ops::ControlFlow,
    path::Path,
    time::Instant,
};

use tempfile::NamedTempFile;
use ureq::{Agent, Body, Timeout, http::Response};

use super::{
    FetchError, Fetcher,
    dial::NotPublic,
    redirect::{RedirectError, follow},
};
use crate::{Disk, Location, out::folder_of};

/// What `progress` is told, and whether it asks to stop.
pub(super) type Progress<'a> = &'a mut dyn FnMut(u64) -> ControlFlow<()>;

pub(super) struct Download<'a> {
    pub(super) agent: Agent,
    pub(super) fetcher: &'a Fetcher,
    /// As asked for.
    pub(super) location: &'a Location,
    /// Bytes, at most.
    pub(super) limit: u64,
}

impl Download<'_> {
    /// Puts the file at `target`, whole or not at all.
    pub(super) fn run(&self, target: &Path, progress: Progress<'_>) -> Result<(), FetchError> {
        let response = self.answer(progress)?;
        if !response.status().is_success() {
            return Err(FetchError::Status { url: self.url(), status: response.status().as_u16() });
        }
        let body = response.into_body();
        if let Some(bytes) = body.content_length() {
            self.check_length(bytes, target)?;
        }
        self.save(body, target, progress)
    }

    /// The answer at the end of all redirects.
    fn answer(&self, progress: Progress<'_>) -> Result<Response<Body>, FetchError> {
        let deadline = Instant::now() + self.fetcher.time();
        let mut location = self.location.clone();
        for _ in 0..=self.fetcher.redirects {
            self.go_on(0, progress)?;
            let left = deadline.saturating_duration_since(Instant::now());
            let request = self.agent.get(location.as_str()).config().timeout_global(Some(left)).build();
            let response = request.call().map_err(|error| self.failed(error))?;
            match self.redirect(&location, &response)? {
                Some(next) => location = next,
                None => return Ok(response),
            }
        }
        Err(self.misled(RedirectError::TooMany { limit: self.fetcher.redirects }))
    }

    /// Where the answer from `location` sends us, if it does.
    fn redirect(
        &self,
        location: &Location,
        response: &Response<Body>,
    ) -> Result<Option<Location>, FetchError> {
        let elsewhere = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
        let reference = response.headers().get("location").and_then(|value| value.to_str().ok());
        match reference.filter(|_| elsewhere) {
            Some(reference) => {
                follow(location.as_str(), reference).map(Some).map_err(|error| self.misled(error))
            }
            None => Ok(None),
        }
    }

    fn check_length(&self, bytes: u64, target: &Path) -> Result<(), FetchError> {
        if bytes > self.limit {
            return Err(self.too_large());
        }
        let room = Disk::default().need(&folder_of(target), bytes);
        room.map_err(|source| FetchError::NoRoom { url: self.url(), source })
    }

    fn save(&self, body: Body, target: &Path, progress: Progress<'_>) -> Result<(), FetchError> {
        let write = |source| FetchError::Write { path: target.to_owned(), source };
        let mut file = NamedTempFile::new_in(folder_of(target)).map_err(write)?;
        let mut body = body.into_reader();
        let mut buffer = vec![0; 1 << 16];
        let mut bytes = 0;
        loop {
            let read = body.read(&mut buffer).map_err(|error| self.broke_off(bytes, error.into()))?;
            if read == 0 {
                break;
            }
            bytes += read as u64;
            if bytes > self.limit {
                return Err(self.too_large());
            }
            file.write_all(&buffer[..read]).map_err(write)?;
            self.go_on(bytes, progress)?;
        }
        file.as_file().sync_all().map_err(write)?;
        file.persist(target).map_err(|error| write(error.error))?;
        Ok(())
    }

    fn go_on(&self, bytes: u64, progress: Progress<'_>) -> Result<(), FetchError> {
        if progress(bytes).is_break() { Err(FetchError::Stopped { url: self.url() }) } else { Ok(()) }
    }

    fn url(&self) -> String {
        self.location.to_string()
    }

    fn too_large(&self) -> FetchError {
        FetchError::TooLarge { location: self.url(), limit: self.limit }
    }

    fn misled(&self, source: RedirectError) -> FetchError {
        FetchError::Redirect { url: self.url(), source }
    }

    fn failed(&self, error: ureq::Error) -> FetchError {
        let url = self.url();
        match error {
            ureq::Error::Timeout(Timeout::Global) => FetchError::TooSlow { url, time: self.fetcher.time },
            ureq::Error::Timeout(_) => FetchError::Silent { url, silence: self.fetcher.silence },
            ureq::Error::Other(error) if error.is::<NotPublic>() => FetchError::NotPublic { url },
            error => FetchError::Download { url, source: Box::new(error) },
        }
    }

    /// The failure of a download whose first `bytes` have come.
    fn broke_off(&self, bytes: u64, error: ureq::Error) -> FetchError {
        match error {
            error @ ureq::Error::Timeout(_) => self.failed(error),
            error => FetchError::BrokeOff { url: self.url(), bytes, source: error.into_io() },
        }
    }
}
