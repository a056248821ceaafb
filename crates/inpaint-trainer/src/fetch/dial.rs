//! What is dialled: the addresses of a host, judged.

use std::net::IpAddr;

use ureq::{
    Agent, Error,
    config::Config,
    http::Uri,
    unversioned::{
        resolver::{ResolvedSocketAddrs, Resolver},
        transport::{DefaultConnector, NextTimeout},
    },
};

use super::Fetcher;

/// A host has an address that may not be dialled.
#[derive(Debug, thiserror::Error)]
#[error("not on the public internet")]
pub(super) struct NotPublic;

/// Looks hosts up, and judges the addresses themselves: however a host is written, and whatever a name server says
/// next time it is asked, what was judged is what is connected to.
#[derive(Debug)]
pub(super) struct Guard<R> {
    pub(super) may_dial: fn(IpAddr) -> bool,
    pub(super) lookup: R,
}

impl<R: Resolver> Resolver for Guard<R> {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let addresses = self.lookup.resolve(uri, config, timeout)?;
        // One bad address is enough: a host of the public internet has none.
        if addresses.iter().all(|address| (self.may_dial)(address.ip())) {
            Ok(addresses)
        } else {
            Err(Error::Other(Box::new(NotPublic)))
        }
    }
}

/// A client that dials what `resolver` gives, follows no redirect by itself and takes every status for an answer.
pub(super) fn agent(fetcher: &Fetcher, resolver: impl Resolver) -> Agent {
    let silence = Some(fetcher.silence());
    let config = Agent::config_builder()
        // A library does not read the environment, where a proxy would be named.
        .proxy(None)
        .max_redirects(0)
        .http_status_as_error(false)
        // What arrives is what is counted and kept.
        .accept_encoding("identity")
        .timeout_resolve(silence)
        .timeout_connect(silence)
        .timeout_per_read(silence)
        .timeout_per_write(silence)
        .build();
    Agent::with_parts(config, DefaultConnector::default(), resolver)
}
