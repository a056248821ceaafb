//! The public face: good archives, bad ones, and rubbish.
#![allow(clippy::unwrap_used, reason = "a test helper fails its test")]

mod bad_inputs;
mod good;
mod hostile;
mod raw_zip;
mod rubbish;

use std::{io::Cursor, path::Path};

use dataset_zip::{Example, Limits, Rejected, open};
use raw_zip::Entry;
use tensor_batch::Blame;

/// Opens and unpacks an archive.
fn unpack(archive: Vec<u8>, limits: &Limits, dir: &Path) -> Result<Vec<Example>, Rejected> {
    open(Cursor::new(archive), limits)?.unpack(dir)
}

/// The kinds of all faults of an archive; none if it can be unpacked.
fn kinds_within(archive: Vec<u8>, limits: &Limits) -> Vec<&'static str> {
    let dir = tempfile::tempdir().unwrap();
    match unpack(archive, limits, dir.path()) {
        Ok(_) => Vec::new(),
        Err(rejected) => rejected.faults().map(Blame::kind).collect(),
    }
}

fn kinds(archive: Vec<u8>) -> Vec<&'static str> {
    kinds_within(archive, &Limits::default())
}

/// A clip and its mask.
fn pair() -> Vec<Entry> {
    vec![Entry::new("a.mp4", b"a clip"), Entry::new("a_mask.png", b"a mask")]
}

/// The kinds of faults of an archive with a good pair and `entry`.
fn kinds_with(entry: Entry) -> Vec<&'static str> {
    let mut entries = pair();
    entries.push(entry);
    kinds(raw_zip::zip(&entries))
}
