//! What can be wrong with an archive.

use super::{any_entry, havoc};
use crate::fuzz::{
    ESCAPE,
    random::Random,
    zip_file::{Archive, Change, Entry, Lie, Packing, Record},
};

/// Fields that the header before the data and the directory share; the latter counts one more before them.
const SHARED_FIELDS: usize = 10;
const FLAGS: usize = 2;
const METHOD: usize = 3;
const CRC: usize = 6;
const PACKED: usize = 7;
const SIZE: usize = 8;
/// The offset in the directory.
const OFFSET: usize = 16;

const TWEAKS: [fn(&mut Archive, &mut Random); 19] = [
    name,
    name,
    twin,
    local_name,
    kind,
    flags,
    method,
    lying_size,
    shared_lie,
    any_lie,
    any_lie,
    offset,
    bomb,
    extra_field,
    form,
    listing,
    surroundings,
    end_lie,
    caption,
];

/// Spoils an archive in one to four ways.
pub(in crate::fuzz) fn spoil(archive: &mut Archive, random: &mut Random) {
    for _ in 0..random.few(4) {
        match random.below(40) {
            0 => crowd(archive, random),
            _ => random.pick(&TWEAKS)(archive, random),
        }
    }
}

fn any<'a>(archive: &'a mut Archive, random: &mut Random) -> Option<&'a mut Entry> {
    let chosen = random.below(archive.entries.len());
    archive.entries.get_mut(chosen)
}

fn lie(archive: &mut Archive, record: Record, field: usize, change: Change) {
    archive.lies.push(Lie { record, field, change });
}

/// The same lie before the data and in the directory.
fn lie_twice(archive: &mut Archive, entry: usize, field: usize, change: Change) {
    lie(archive, Record::Local(entry), field, change);
    lie(archive, Record::Central(entry), field + 1, change);
}

/// A name that leads away, or that tools and people read differently.
fn name(archive: &mut Archive, random: &mut Random) {
    let Some(entry) = any(archive, random) else { return };
    let old = entry.name.clone();
    let with = |before: &str, after: &str| [before.as_bytes(), &old, after.as_bytes()].concat();
    entry.name = match random.below(24) {
        0 => with("../", ""),
        1 => with("a/../../../", ""),
        2 => with("/tmp/", ""),
        3 => [ESCAPE.as_bytes(), b"/", &old].concat(),
        4 => with("C:", ""),
        5 => with("c:\\", ""),
        6 => with("\\\\server\\share\\", ""),
        7 => with("..\\", ""),
        8 => with("\0", ""),
        9 => with("", "\0.mp4"),
        10 => with(&"x".repeat(random.pick(&[200, 240, 250, 256, 4000, 60_000])), ""),
        11 => with("./", ""),
        12 => with("a//b/", ""),
        13 => with("\u{1b}[2J\u{7}", ""),
        14 => with("\u{202e}4pm.\u{202c}\u{200b}", ""),
        15 => with("\u{85}\u{9b}\u{2028}\r\n", ""),
        16 => with("e\u{301}", ""),
        17 => Vec::new(),
        18 => b"/".to_vec(),
        19 => b"..".to_vec(),
        20 => with("", "/"),
        21 => with("\u{feff}", " "),
        22 => [b"\xff\xfe\x80", old.as_slice()].concat(),
        _ => {
            let mut name = old;
            havoc(&mut name, random);
            name
        }
    };
    entry.flags ^= if random.chance(30) { 0x800 } else { 0 };
}

/// A second entry whose name is the same, or the same to some.
fn twin(archive: &mut Archive, random: &mut Random) {
    let Some(entry) = any(archive, random) else { return };
    let name = String::from_utf8_lossy(&entry.name).into_owned();
    let twin = match random.below(6) {
        0 => name,
        1 => name.to_uppercase(),
        2 => format!("other/{name}"),
        3 => name.replace(".mp4", ".mov").replace(".png", ".jpg"),
        4 => {
            entry.name = [b"\xc3\xa9", entry.name.as_slice()].concat();
            format!("e\u{301}{name}")
        }
        _ => name.replace("_mask", "_mask_mask"),
    };
    let twin = any_entry(&twin, b"a twin", random);
    archive.entries.push(twin);
}

fn local_name(archive: &mut Archive, random: &mut Random) {
    let other = random.pick(&["../../evil", "b.mp4", "", "clip 0.mp4"]);
    if let Some(entry) = any(archive, random) {
        entry.local_name = Some(other.into());
    }
}

/// Links, devices and folders with content.
fn kind(archive: &mut Archive, random: &mut Random) {
    let Some(entry) = any(archive, random) else { return };
    entry.mode =
        random.pick(&[0o120_777, 0o060_600, 0o020_600, 0o010_600, 0o140_600, 0o040_755, 0, 0o170_000]);
    if random.chance(50) {
        entry.plain = random.pick(&["/etc/passwd", "../../../tmp", "."]).into();
    }
}

fn flags(archive: &mut Archive, random: &mut Random) {
    let flag = 1 << random.pick(&[0, 0, 3, 3, 5, 6, 11, 13, 15]);
    let chosen = random.below(archive.entries.len());
    match random.below(3) {
        0 => lie(archive, Record::Local(chosen), FLAGS, Change::Flip(flag)),
        1 => lie(archive, Record::Central(chosen), FLAGS + 1, Change::Flip(flag)),
        _ => lie_twice(archive, chosen, FLAGS, Change::Flip(flag)),
    }
}

fn method(archive: &mut Archive, random: &mut Random) {
    let chosen = random.below(archive.entries.len());
    let method = random.pick(&[0, 1, 2, 6, 8, 9, 10, 12, 14, 18, 93, 94, 95, 96, 97, 98, 99, 0xffff]);
    lie_twice(archive, chosen, METHOD, Change::To(method));
}

/// Sizes that say less, or much more, than there is.
fn lying_size(archive: &mut Archive, random: &mut Random) {
    let chosen = random.below(archive.entries.len());
    let field = random.pick(&[PACKED, SIZE, SIZE]);
    let change = Change::any(random);
    lie_twice(archive, chosen, field, change);
    if random.chance(30) {
        lie(archive, Record::Descriptor(chosen), field - PACKED + 2, change);
    }
}

fn shared_lie(archive: &mut Archive, random: &mut Random) {
    let chosen = random.below(archive.entries.len());
    let field = if random.chance(50) { CRC } else { 1 + random.below(SHARED_FIELDS) };
    let change = Change::any(random);
    lie_twice(archive, chosen, field, change);
}

fn any_lie(archive: &mut Archive, random: &mut Random) {
    let chosen = random.below(archive.entries.len());
    let record = random.pick(&[
        Record::Local(chosen),
        Record::Central(chosen),
        Record::Central(chosen),
        Record::Descriptor(chosen),
        Record::LocalWide(chosen),
        Record::CentralWide(chosen),
        Record::CentralWide(chosen),
    ]);
    if matches!(record, Record::LocalWide(_) | Record::CentralWide(_)) {
        archive.entries.iter_mut().skip(chosen).take(1).for_each(|entry| entry.wide = true);
    }
    let (field, change) = (random.below(17), Change::any(random));
    lie(archive, record, field, change);
}

/// Entries that lie elsewhere: at another one, inside another one, outside the file.
fn offset(archive: &mut Archive, random: &mut Random) {
    let (chosen, other) = (random.below(archive.entries.len()), random.below(archive.entries.len()));
    if random.chance(40) {
        let copied = archive.entries[other].clone();
        let entry = &mut archive.entries[chosen];
        entry.at = Some(other);
        if random.chance(50) {
            *entry = Entry { name: entry.name.clone(), at: Some(other), ..copied };
        }
        return;
    }
    if random.chance(30) {
        archive.entries[chosen].wide = true;
        let change = Change::any(random);
        return lie(archive, Record::CentralWide(chosen), 4, change);
    }
    let change = Change::any(random);
    lie(archive, Record::Central(chosen), OFFSET, change);
}

/// Much that inflates from little, and perhaps a size that denies it.
fn bomb(archive: &mut Archive, random: &mut Random) {
    let chosen = random.below(archive.entries.len());
    let entry = &mut archive.entries[chosen];
    entry.plain = vec![0; random.pick(&[LARGE / 2, LARGE, 2 * LARGE])];
    entry.packing = Packing::Deflate;
    if random.chance(60) {
        let claimed = random.pick(&[0, 1, 1000, 200_000]);
        lie_twice(archive, chosen, SIZE, Change::To(claimed));
        lie(archive, Record::Descriptor(chosen), 3, Change::To(claimed));
    }
}

const LARGE: usize = 512 << 10;

/// Extra fields: another name, encryption, a second pair of sizes, and lengths that lie.
fn extra_field(archive: &mut Archive, random: &mut Random) {
    let Some(entry) = any(archive, random) else { return };
    let id = random.pick(&[0x7075u16, 0x6375, 0x9901, 1, 0x5455, 0x000a, 0x7875, 0xcafe, 0x0017]);
    let mut data = match id {
        0x7075 => [&[1, 0, 0, 0, 0], ESCAPE.as_bytes(), b"/evil.mp4"].concat(),
        0x9901 => vec![2, 0, b'A', b'E', 3, 8, 0],
        _ => random.bytes(32),
    };
    data.truncate(if random.chance(60) { data.len() } else { random.below(data.len()) });
    let length = if random.chance(70) { data.len() as u16 } else { random.number(2) as u16 };
    entry.extra.extend([id.to_le_bytes(), length.to_le_bytes()].concat());
    entry.extra.extend(data);
}

/// The same content in another form.
fn form(archive: &mut Archive, random: &mut Random) {
    let comment = random.few_or_many(60, 20, 0xffff);
    let content = random.bytes(comment);
    let Some(entry) = any(archive, random) else { return };
    match random.below(4) {
        0 => entry.wide ^= true,
        1 => entry.descriptor ^= true,
        2 => entry.packing = random.pick(&[Packing::Stored, Packing::Deflate, Packing::Deflate64]),
        _ => entry.comment = content,
    }
}

/// A directory that leaves entries out, repeats them, or has them in another order.
fn listing(archive: &mut Archive, random: &mut Random) {
    let mut listed: Vec<usize> = (0..archive.entries.len()).collect();
    let (one, other) = (random.below(listed.len()), random.below(listed.len()));
    match random.below(4) {
        0 => drop(listed.remove(one)),
        1 => listed.push(one),
        2 => listed.swap(one, other),
        _ => listed.clear(),
    }
    archive.listed = Some(listed);
}

/// Bytes before, between and after; a comment that looks like an end.
fn surroundings(archive: &mut Archive, random: &mut Random) {
    let length = random.few(100);
    let mut junk = random.bytes(length);
    if random.chance(40) {
        junk.extend(Archive::default().write());
    }
    match random.below(5) {
        0 => archive.prefix = junk,
        1 => archive.uncounted = junk,
        2 => archive.gap = junk,
        3 => archive.comment = junk,
        _ => archive.suffix = junk,
    }
}

fn end_lie(archive: &mut Archive, random: &mut Random) {
    let record = random.pick(&[Record::End, Record::End, Record::EndWide, Record::Locator]);
    archive.wide |= record != Record::End;
    let (field, change) = (random.below(10), Change::any(random));
    lie(archive, record, field, change);
}

/// Captions that are no text, too long, or nothing.
fn caption(archive: &mut Archive, random: &mut Random) {
    let content = match random.below(6) {
        0 => b"\xff\xfea\0 \0c\0".to_vec(),
        1 => b"x".repeat(random.pick(&[1023, 1024, 1025, 300_000])),
        2 => b"\xef\xbb\xbf \r\n\t".to_vec(),
        3 => "\u{1b}]0;title\u{7}\0\u{202e}".into(),
        4 => b"cut in a letter \xc3".to_vec(),
        _ => random.bytes(40),
    };
    let name = archive.entries.first().map(|entry| String::from_utf8_lossy(&entry.name).into_owned());
    let stem =
        name.as_deref().and_then(|name| name.rsplit_once('.')).map_or("a", |(stem, _)| stem).to_owned();
    let entry = any_entry(&format!("{stem}.txt"), &content, random);
    archive.entries.push(entry);
}

/// More entries than there may be.
fn crowd(archive: &mut Archive, random: &mut Random) {
    for number in 0..random.pick(&[60, 70, 500]) {
        archive.entries.push(Entry::new(&format!("{number}.txt"), b"", Packing::Stored));
    }
}
