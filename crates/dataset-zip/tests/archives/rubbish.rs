//! Rubbish is rejected, whatever it is; nothing panics and nothing is our fault.

use dataset_zip::Limits;
use proptest::prelude::*;
use tensor_batch::{Blame, Fault};

use crate::{
    raw_zip::{self, Entry},
    unpack,
};

fn never_ours(archive: Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    if let Err(rejected) = unpack(archive, &Limits::default(), dir.path()) {
        assert_eq!(rejected.fault(), Fault::Request, "{rejected}");
    }
}

fn entry() -> impl Strategy<Value = Entry> {
    let name = prop_oneof![
        prop::sample::select(vec![
            "a.mp4",
            "a_mask.png",
            "a_mask.mp4",
            "a_mask_mask.webm",
            "a.txt",
            "b.mov",
            "x"
        ])
        .prop_map(|name| name.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..12),
    ];
    let method = prop_oneof![Just(0), Just(8), Just(9), any::<u16>()];
    let size = prop_oneof![0u32..40, any::<u32>()];
    let offset = prop::option::weighted(0.1, prop_oneof![0u32..300, any::<u32>()]);
    let mode = prop_oneof![Just(0o100_644), 0u32..0o200_000];
    let flags = prop_oneof![Just(0), any::<u16>()];
    let data = prop::collection::vec(any::<u8>(), 0..40);
    (name, data, method, flags, size, offset, mode).prop_map(
        |(name, data, method, flags, inflated, offset, mode)| Entry {
            name,
            method,
            flags,
            inflated,
            offset,
            mode,
            ..Entry::new("", &data)
        },
    )
}

proptest! {
    #[test]
    fn any_bytes_are_rejected_in_peace(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        never_ours(bytes);
    }

    #[test]
    fn any_bytes_before_an_end_record_are_rejected_in_peace(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        entries in 0u16..4,
        size in 0u32..300,
    ) {
        let size = size.min(bytes.len() as u32);
        let record = raw_zip::end_record(entries, size, bytes.len() as u32 - size);
        never_ours([bytes, record].concat());
    }

    #[test]
    fn any_entries_are_told_in_peace(entries in prop::collection::vec(entry(), 0..6)) {
        never_ours(raw_zip::zip(&entries));
    }

    #[test]
    fn a_good_archive_with_some_bytes_changed_is_told_in_peace(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let mut archive = raw_zip::zip(&[crate::pair(), vec![Entry::new("a.txt", b"a caption")]].concat());
        for (at, byte) in changes {
            let at = at.index(archive.len());
            archive[at] = byte;
        }
        if let Some(cut) = cut {
            archive.truncate(cut.index(archive.len()));
        }
        never_ours(archive);
    }
}
