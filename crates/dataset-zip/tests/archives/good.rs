//! Archives that common tools make.

use std::{
    fs,
    io::{Cursor, Write},
};

use dataset_zip::{Limits, MaskSource, open};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use crate::{
    raw_zip::{self, Entry},
    unpack,
};

fn written(options: SimpleFileOptions) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    fill(&mut zip, options);
    zip.finish().unwrap().into_inner()
}

fn fill<W: Write + std::io::Seek>(zip: &mut ZipWriter<W>, options: SimpleFileOptions) {
    zip.add_directory("set/", options).unwrap();
    for (name, text) in
        [("set/b.mp4", "clip b"), ("set/b_mask.mov", "mask b"), ("b.txt", "\u{feff} one\r\ntwo\r\n")]
    {
        zip.start_file(name, options).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    for (name, text) in [("set/a.WEBM", "clip a"), ("a_mask.JPG", "mask a"), ("a.txt", " \n")] {
        zip.start_file(name, options).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
}

#[track_caller]
fn assert_unpacks(archive: Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let examples = unpack(archive, &Limits::default(), dir.path()).unwrap();
    let at = |name: &str| dir.path().join(name);
    assert_eq!(examples.iter().map(|example| example.stem.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(examples[0].clip, at("0000-clip.webm"));
    assert_eq!(examples[0].mask, MaskSource::Image(at("0000-mask.jpg")));
    assert_eq!(examples[0].caption, None);
    assert_eq!(examples[1].mask, MaskSource::Video(at("0001-mask.mov")));
    assert_eq!(examples[1].caption.as_ref().unwrap().as_str(), "one\ntwo");
    assert_eq!(fs::read(&examples[0].clip).unwrap(), b"clip a");
    assert_eq!(fs::read(at("0001-mask.mov")).unwrap(), b"mask b");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 4);
}

#[test]
fn stored_and_deflated_archives_unpack_alike() {
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        assert_unpacks(written(SimpleFileOptions::default().compression_method(method)));
    }
}

#[test]
fn zip64_entries_unpack() {
    assert_unpacks(written(SimpleFileOptions::default().large_file(true)));
}

#[test]
fn an_archive_written_to_a_pipe_unpacks() {
    let mut zip = ZipWriter::new_stream(Vec::new());
    fill(&mut zip, SimpleFileOptions::default());
    assert_unpacks(zip.finish().unwrap().into_inner());
}

#[test]
fn an_archive_with_a_comment_unpacks() {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    fill(&mut zip, SimpleFileOptions::default());
    zip.set_comment("made by hand").unwrap();
    assert_unpacks(zip.finish().unwrap().into_inner());
}

#[test]
fn deflate64_unpacks() {
    let text = b"a clip";
    // One stored block, which deflate64 shares with deflate.
    let block = [&[1, 6, 0, !6, 0xff], text.as_slice()].concat();
    let clip = Entry {
        method: 9,
        crc: raw_zip::crc32(text),
        inflated: text.len() as u32,
        ..Entry::new("a.mp4", &block)
    };
    let dir = tempfile::tempdir().unwrap();
    let archive = raw_zip::zip(&[clip, Entry::new("a_mask.png", b"a mask")]);
    let examples = unpack(archive, &Limits::default(), dir.path()).unwrap();
    assert_eq!(fs::read(&examples[0].clip).unwrap(), text);
}

#[test]
fn names_in_utf8_and_in_the_code_page_of_old_pair_up() {
    for (clip, mask, stem) in [
        ("\u{e9}.mp4".as_bytes(), "\u{e9}_mask.png".as_bytes(), "\u{e9}"),
        (b"\x82.mp4", b"\x82_mask.png", "\u{e9}"),
    ] {
        let entry = |name: &[u8]| Entry { name: name.to_vec(), ..Entry::new("", b"x") };
        let dir = tempfile::tempdir().unwrap();
        let examples =
            unpack(raw_zip::zip(&[entry(clip), entry(mask)]), &Limits::default(), dir.path()).unwrap();
        assert_eq!(examples[0].stem.as_str(), stem);
    }
}

#[test]
fn what_systems_leave_behind_is_ignored_without_a_word() {
    let mut entries = crate::pair();
    for name in ["__MACOSX/._a.mp4", ".DS_Store", "x/.hidden.mp4", "Thumbs.db", "desktop.ini", "folder/"] {
        entries.push(Entry::new(name, b""));
    }
    let examples = open(Cursor::new(raw_zip::zip(&entries)), &Limits::default()).unwrap();
    assert_eq!(examples.warnings(), []);
    assert_eq!(examples.bytes(), 12);
}
