//! The target `archive`: zips are opened and unpacked within tight limits.

use std::{
    fs::{self, File},
    path::Path,
};

use dataset_zip::{Example, Limits, MaskSource, Warning};

use super::{
    bytes::{crc32, havoc},
    judge::{self, Answer, Flaw, Verdict, holds, names_in},
    random::Random,
    target::{Input, Place, Target},
    zip_file::{Archive, Entry, Packing},
};

mod tweaks;

pub(super) use tweaks::spoil;

/// Tight, so that they are met often.
pub(super) const LIMITS: Limits = Limits {
    archive_bytes: 1 << 20,
    entries: 64,
    directory_bytes: 64 << 10,
    entry_bytes: 256 << 10,
    total_bytes: 512 << 10,
    caption_bytes: 1 << 10,
};
/// What may be on disk beyond the limits.
const OVERRUN: u64 = 1 << 20;

pub(super) struct ArchiveTarget;

impl Target for ArchiveTarget {
    fn good(&self) -> Vec<Input> {
        let written = |case| Input::new("zip", any_archive(&mut Random::new(0, "good", case)).write());
        (0..4).map(written).collect()
    }

    fn spoilt(&self, random: &mut Random) -> Input {
        let mut archive = any_archive(random);
        let blunt = random.chance(10);
        if !blunt {
            spoil(&mut archive, random);
        }
        let mut bytes = archive.write();
        if blunt || random.chance(10) {
            havoc(&mut bytes, random);
        }
        Input::new("zip", bytes)
    }

    fn run(&self, input: &Input, at: &Place) -> Verdict {
        let folder = at.work.join("media");
        let examples = match dataset_zip::open(File::open(&at.file)?, &LIMITS) {
            Ok(examples) => examples,
            Err(rejected) => return told(&rejected),
        };
        warnings(examples.warnings())?;
        let promised = examples.bytes();
        let unpacked = examples.unpack(&folder);
        let written = on_disk(&folder)?;
        holds(written <= LIMITS.total_bytes + OVERRUN, || format!("{written} bytes are on disk"))?;
        match unpacked {
            Ok(examples) => {
                holds(written <= promised, || format!("{written} bytes are on disk, {promised} were told"))?;
                examples.iter().try_for_each(|example| whole(example, &input.bytes))?;
                Ok(Answer::Accepted)
            }
            Err(rejected) => told(&rejected),
        }
    }
}

/// A good archive of one to three pairs, with captions, folders and what systems leave behind.
fn any_archive(random: &mut Random) -> Archive {
    let mut archive = Archive { wide: random.chance(15), ..Archive::default() };
    for number in 0..random.few(3) {
        let folder = random.pick(&["", "", "a folder/", "one/two/", "\u{65e5}\u{672c}/"]);
        let stem = format!("{folder}clip {number}");
        let clip = random.pick(&["mp4", "MOV", "webm", "mkv", "Avi"]);
        let mask = random.pick(&["png", "JPG", "jpeg", "bmp", "webp", "mp4"]);
        for name in [format!("{stem}.{clip}"), format!("{stem}_mask.{mask}")] {
            let length = random.few_or_many(2000, 5, 100_000);
            let content = random.bytes(length);
            archive.entries.push(any_entry(&name, &content, random));
        }
        if random.chance(60) {
            archive.entries.push(any_entry(&format!("{stem}.txt"), b"\xef\xbb\xbfa red fox\r\n", random));
        }
    }
    for extra in ["__MACOSX/._clip 0.mp4", ".DS_Store", "a folder/", "readme.md", "lonely_mask.png"] {
        if random.chance(15) {
            archive.entries.push(any_entry(extra, b"", random));
        }
    }
    archive
}

/// A good entry, in one of the ways to write it.
pub(super) fn any_entry(name: &str, content: &[u8], random: &mut Random) -> Entry {
    let packing = random.pick(&[Packing::Stored, Packing::Deflate, Packing::Deflate, Packing::Deflate64]);
    let mut entry = Entry::new(name, content, packing);
    entry.flags = if name.is_ascii() { 0 } else { 0x800 };
    entry.wide = random.chance(15);
    entry.descriptor = packing != Packing::Stored && random.chance(25);
    entry
}

fn told(rejected: &dataset_zip::Rejected) -> Verdict {
    rejected.faults().try_for_each(|fault| judge::error(fault).map(drop))?;
    judge::error(rejected)
}

fn warnings(warnings: &[Warning]) -> Result<(), Flaw> {
    warnings.iter().try_for_each(|warning| judge::warning(warning.kind, &warning.name, &warning.message))
}

/// The bytes of all files of the folder, which have names of our own.
fn on_disk(folder: &Path) -> Result<u64, Flaw> {
    let mut bytes = 0;
    for name in names_in(folder)? {
        holds(is_ours(&name), || format!("`{name}` is on disk"))?;
        bytes += fs::symlink_metadata(folder.join(name))?.len();
    }
    Ok(bytes)
}

/// Whether a name is like `0000-clip.mp4`.
fn is_ours(name: &str) -> bool {
    let Some((stem, extension)) = name.split_once('.') else { return false };
    let Some((number, kind)) = stem.split_once('-') else { return false };
    let known = ["mp4", "mov", "webm", "mkv", "avi", "png", "jpg", "jpeg", "bmp", "webp"];
    number.len() == 4
        && number.bytes().all(|digit| digit.is_ascii_digit())
        && ["clip", "mask"].contains(&kind)
        && known.contains(&extension)
}

/// What was unpacked has a checksum that the archive states.
fn whole(example: &Example, archive: &[u8]) -> Result<(), Flaw> {
    let (MaskSource::Image(mask) | MaskSource::Video(mask)) = &example.mask;
    for file in [&example.clip, mask] {
        let checksum = crc32(&fs::read(file)?).to_le_bytes();
        let stated = archive.windows(4).any(|bytes| bytes == checksum);
        holds(stated, || format!("{} has a checksum that is not in the archive", file.display()))?;
    }
    let caption = example.caption.as_ref().map(|caption| caption.as_str());
    holds(caption.is_none_or(|text| !text.trim().is_empty()), || "a caption is blank".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_our_own_are_ours() {
        assert!(is_ours("0000-clip.mp4") && is_ours("0123-mask.webp"));
        for name in ["0000-clip", "clip.mp4", "0000-clip.exe", "00000-clip.mp4", "0000-evil.mp4", "x"] {
            assert!(!is_ours(name), "{name}");
        }
    }
}
