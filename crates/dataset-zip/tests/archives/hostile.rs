//! One archive per way to be wrong.

use std::io::Write;

use dataset_zip::Limits;
use tensor_batch::Blame;

use crate::{
    kinds, kinds_with, kinds_within, pair,
    raw_zip::{self, Entry},
    unpack,
};

#[test]
fn unsafe_names_are_told_even_where_the_file_would_be_ignored() {
    for name in
        ["/etc/x.txt", "../x.txt", "sub/../../x.txt", "C:\\x.txt", "c:/x.txt", "..\\x.txt", "../.x", "../"]
    {
        assert_eq!(kinds_with(Entry::new(name, b"")), ["unsafe-path"], "{name}");
    }
}

#[test]
fn names_that_tools_read_differently_are_told() {
    for name in ["b\0.txt", "b\\c.txt", "", &"x".repeat(300)] {
        assert_eq!(kinds_with(Entry::new(name, b"")), ["bad-entry-name"], "{name}");
    }
}

#[test]
fn links_and_devices_are_told() {
    assert_eq!(
        kinds_with(Entry { mode: 0o120_777, ..Entry::new("link", b"/etc/passwd") }),
        ["symlink-entry"]
    );
    assert_eq!(kinds_with(Entry { mode: 0o010_644, ..Entry::new("pipe", b"") }), ["unsupported-entry"]);
}

#[test]
fn encrypted_entries_and_other_methods_are_told() {
    assert_eq!(kinds_with(Entry { flags: 1, ..Entry::new("b.txt", b"x") }), ["encrypted-entry"]);
    for method in [1, 6, 12, 14, 93, 95, 98, 1000] {
        assert_eq!(
            kinds_with(Entry { method, ..Entry::new("b.txt", b"x") }),
            ["unsupported-entry"],
            "{method}"
        );
    }
}

#[test]
fn an_entry_that_occurs_twice_is_told() {
    assert_eq!(kinds_with(Entry::new("a.mp4", b"another")), ["duplicate-name"]);
    assert_eq!(kinds_with(Entry::new("b/a.mp4", b"another")), ["duplicate-name"]);
}

#[test]
fn entries_that_share_their_bytes_are_told() {
    let twin = Entry { offset: Some(0), ..Entry::new("b.txt", b"a clip") };
    assert_eq!(kinds_with(twin), ["overlapping-entries"]);
}

#[test]
fn data_that_is_not_what_the_directory_says_is_told() {
    let other_name = Entry { local_name: Some(b"c.txt".to_vec()), ..Entry::new("b.txt", b"x") };
    assert_eq!(kinds_with(other_name), ["corrupt-entry"]);
    assert_eq!(kinds_with(Entry { offset: Some(9), ..Entry::new("b.txt", b"x") }), ["corrupt-entry"]);
    assert_eq!(
        kinds_with(Entry { offset: Some(u32::MAX - 1), ..Entry::new("b.txt", b"x") }),
        ["corrupt-entry"]
    );
}

#[test]
fn an_offset_that_no_file_can_have_is_told() {
    for offset in [u64::from(u32::MAX), i64::MAX as u64, 1 << 63] {
        let extra = [&[1, 0, 8, 0][..], &offset.to_le_bytes()].concat();
        let far = Entry { offset: Some(u32::MAX), extra, ..Entry::new("b.txt", b"x") };
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&raw_zip::zip(&[pair(), vec![far]].concat())).unwrap();
        // A file, because one in memory takes any offset.
        let rejected = dataset_zip::open(file, &Limits::default()).unwrap_err();
        assert_eq!(rejected.faults().map(Blame::kind).collect::<Vec<_>>(), ["corrupt-entry"], "{offset}");
    }
}

#[test]
fn a_wrong_checksum_or_size_is_told() {
    let mask = || Entry::new("a_mask.png", b"a mask");
    for wrong in [
        Entry { crc: 1, ..mask() },
        Entry { inflated: 5, ..mask() },
        Entry { inflated: 7, ..mask() },
        Entry { method: 8, ..mask() },
        Entry { method: 9, ..mask() },
    ] {
        assert_eq!(kinds(raw_zip::zip(&[pair().remove(0), wrong.clone()])), ["corrupt-entry"], "{wrong:?}");
    }
}

#[test]
fn captions_must_be_short_and_utf8() {
    for wrong in [b"\xff\xfea\0".as_slice(), &[b'x'; (64 << 10) + 1]] {
        assert_eq!(kinds_with(Entry::new("a.txt", wrong)), ["bad-caption"]);
    }
}

#[test]
fn limits_are_limits() {
    let archive = raw_zip::zip(&pair());
    let all = Limits::default();
    let bytes = archive.len() as u64;
    let exact = Limits { archive_bytes: bytes, entries: 2, entry_bytes: 6, total_bytes: 12, ..all };
    assert_eq!(kinds_within(archive.clone(), &exact), [""; 0]);
    for (limits, wanted) in [
        (Limits { archive_bytes: bytes - 1, ..all }, ["too-large"].as_slice()),
        (Limits { directory_bytes: 20, ..all }, &["too-large"]),
        (Limits { entries: 1, ..all }, &["too-many-entries"]),
        (Limits { entry_bytes: 5, ..all }, &["too-large", "too-large"]),
        (Limits { total_bytes: 11, ..all }, &["too-large"]),
    ] {
        assert_eq!(kinds_within(archive.clone(), &limits), wanted, "{limits:?}");
    }
}

#[test]
fn the_end_record_and_the_directory_must_agree() {
    for counted in [0, 1, 3] {
        let mut archive = raw_zip::zip(&pair());
        let record = archive.len() - 22;
        archive[record + 8] = counted;
        archive[record + 10] = counted;
        assert_eq!(kinds(archive), ["not-a-zip"], "{counted}");
    }
}

#[test]
fn what_is_no_zip_or_holds_no_clip_is_told() {
    assert_eq!(kinds(Vec::new()), ["not-a-zip"]);
    assert_eq!(kinds(b"\x89PNG\r\n".repeat(1000)), ["not-a-zip"]);
    assert_eq!(kinds(raw_zip::end_record(0, 0, 0)), ["no-clips"]);
    assert_eq!(kinds(raw_zip::zip(&[Entry::new("readme.txt", b"hello")])), ["no-clips"]);
}

#[test]
fn all_faults_come_in_one_answer_and_name_their_entries() {
    let archive = raw_zip::zip(&[
        Entry::new("a.mp4", b"x"),
        Entry { flags: 1, ..Entry::new("b.mp4", b"x") },
        Entry::new("c.mp4", b"x"),
        Entry::new("c_mask.png", b"x"),
        Entry::new("d/c_mask.jpg", b"x"),
        Entry::new("../e.txt", b"x"),
    ]);
    let dir = tempfile::tempdir().unwrap();
    let rejected = unpack(archive, &Limits::default(), dir.path()).unwrap_err();
    let told: Vec<(&str, String)> =
        rejected.faults().map(|fault| (fault.kind(), fault.to_string())).collect();
    let wanted = [
        ("encrypted-entry", "`b.mp4`"),
        ("unsafe-path", "`../e.txt`"),
        ("missing-mask", "`a.mp4`"),
        ("missing-mask", "`b.mp4`"),
        ("duplicate-name", "`d/c_mask.jpg`"),
    ];
    assert_eq!(told.len(), wanted.len(), "{told:?}");
    for ((kind, message), (wanted_kind, name)) in told.iter().zip(wanted) {
        assert!(*kind == wanted_kind && message.contains(name), "{kind}: {message}");
    }
}

#[test]
fn faults_inside_members_come_in_one_answer_too() {
    let archive = raw_zip::zip(&[
        Entry { crc: 1, ..Entry::new("a.mp4", b"x") },
        Entry { crc: 1, ..Entry::new("a_mask.png", b"x") },
        Entry::new("a.txt", b"\xff"),
    ]);
    assert_eq!(kinds(archive), ["corrupt-entry", "corrupt-entry", "bad-caption"]);
}

#[test]
fn a_name_cannot_flood_a_message() {
    let long = "x".repeat(60_000);
    let twins = [".mp4", ".mov"].map(|extension| Entry::new(&format!("{long}{extension}"), b"x"));
    let dir = tempfile::tempdir().unwrap();
    let rejected = unpack(raw_zip::zip(&twins), &Limits::default(), dir.path()).unwrap_err();
    let told: Vec<_> = rejected.faults().map(|fault| (fault.kind(), fault.to_string().len())).collect();
    let kinds = ["bad-entry-name", "bad-entry-name", "duplicate-name", "missing-mask"];
    assert_eq!(told.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), kinds);
    assert!(told.iter().all(|(_, bytes)| *bytes < 1000), "{told:?}");
}

#[test]
fn a_name_cannot_write_to_a_terminal() {
    let archive = raw_zip::zip(&[Entry::new("\u{1b}[2J.mp4", b"x")]);
    let dir = tempfile::tempdir().unwrap();
    let rejected = unpack(archive, &Limits::default(), dir.path()).unwrap_err();
    assert!(rejected.to_string().chars().all(|c| !c.is_control()), "{rejected}");
}
