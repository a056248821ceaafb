//! Which clip has which mask and which caption, decided by names alone.

use std::collections::{BTreeMap, BTreeSet};

use tensor_batch::Stem;

use crate::{
    ArchiveError, Warning,
    member::{Medium, Member},
    warning::left_over,
};

/// A clip with what belongs to it.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) stem: Stem,
    pub(crate) clip: Member,
    pub(crate) mask: Member,
    pub(crate) caption: Option<Member>,
}

/// Pairs by stem, and what did not fit.
#[derive(Debug, Default)]
pub(crate) struct Pairing {
    pub(crate) pairs: Vec<Pair>,
    pub(crate) faults: Vec<ArchiveError>,
    pub(crate) warnings: Vec<Warning>,
}

/// Pairs the members of an archive.
pub(crate) fn pair(members: Vec<Member>) -> Pairing {
    let mut shelves = Shelves::default();
    for member in members {
        shelves.of(member.medium).entry(member.stem.clone()).or_default().push(member);
    }
    let mut pairing = Pairing::default();
    for stem in shelves.clips() {
        let clips = shelves.videos.remove(&stem).unwrap_or_default();
        let masks = shelves.take_masks(&stem);
        let captions = shelves.texts.remove(&stem).unwrap_or_default();
        pairing.add(Stem::new(stem), clips, masks, captions);
    }
    if pairing.pairs.is_empty() && pairing.faults.is_empty() {
        pairing.faults.push(ArchiveError::NoClips);
    }
    pairing.warnings = left_over(&shelves.rest());
    pairing
}

/// Members by what they are, then by stem.
#[derive(Default)]
struct Shelves {
    videos: BTreeMap<String, Vec<Member>>,
    images: BTreeMap<String, Vec<Member>>,
    texts: BTreeMap<String, Vec<Member>>,
    unknown: BTreeMap<String, Vec<Member>>,
}

impl Shelves {
    fn of(&mut self, medium: Medium) -> &mut BTreeMap<String, Vec<Member>> {
        match medium {
            Medium::Video(_) => &mut self.videos,
            Medium::Image(_) => &mut self.images,
            Medium::Text => &mut self.texts,
            Medium::Unknown => &mut self.unknown,
        }
    }

    /// The stems of clips, sorted. `foo_mask` is a clip of its own only where `foo` is none and it has a mask.
    fn clips(&self) -> BTreeSet<String> {
        let mut stems: Vec<&String> = self.videos.keys().collect();
        stems.sort_by_key(|stem| stem.len()); // `foo` is decided before `foo_mask`
        let mut clips = BTreeSet::new();
        for stem in stems {
            let is_clip =
                stem.strip_suffix("_mask").is_none_or(|base| !clips.contains(base) && self.has_mask(stem));
            if is_clip {
                clips.insert(stem.clone());
            }
        }
        clips
    }

    fn has_mask(&self, stem: &str) -> bool {
        let mask = format!("{stem}_mask");
        self.videos.contains_key(&mask) || self.images.contains_key(&mask)
    }

    fn take_masks(&mut self, stem: &str) -> Vec<Member> {
        let mask = format!("{stem}_mask");
        let mut masks = self.videos.remove(&mask).unwrap_or_default();
        masks.extend(self.images.remove(&mask).unwrap_or_default());
        masks.sort_by_key(|member| member.index);
        masks
    }

    fn rest(self) -> Vec<Member> {
        let mut rest: Vec<Member> = [self.videos, self.images, self.texts, self.unknown]
            .into_iter()
            .flat_map(BTreeMap::into_values)
            .flatten()
            .collect();
        rest.sort_by_key(|member| member.index);
        rest
    }
}

impl Pairing {
    fn add(&mut self, stem: Stem, clips: Vec<Member>, masks: Vec<Member>, captions: Vec<Member>) {
        let clip = self.only(&stem, clips);
        let mask = self.only(&stem, masks);
        let caption = self.only(&stem, captions);
        match (clip, mask) {
            (Some(clip), Some(mask)) => self.pairs.push(Pair { stem, clip, mask, caption }),
            (Some(clip), None) => {
                self.faults.push(ArchiveError::MissingMask { clip: stem, entry: clip.name })
            }
            (None, _) => {}
        }
    }

    /// The first of these members; the others are faults.
    fn only(&mut self, stem: &Stem, members: Vec<Member>) -> Option<Member> {
        let mut members = members.into_iter();
        let first = members.next()?;
        self.faults.extend(members.map(|other| ArchiveError::DuplicateName {
            stem: stem.clone(),
            first: first.name.clone(),
            second: other.name,
        }));
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use tensor_batch::Blame;

    use super::*;
    use crate::EntryName;

    fn pair_names(names: &[&str]) -> Pairing {
        let member = |(index, name): (usize, &&str)| Member::new(index, EntryName::new(*name), 1);
        pair(names.iter().enumerate().map(member).collect())
    }

    fn pairs(names: &[&str]) -> Vec<String> {
        let found = pair_names(names);
        assert!(found.faults.is_empty(), "{:?}", found.faults);
        let caption = |pair: &Pair| pair.caption.as_ref().map(|member| format!(" {}", member.name));
        let line = |pair: &Pair| {
            format!(
                "{}: {} {}{}",
                pair.stem,
                pair.clip.name,
                pair.mask.name,
                caption(pair).unwrap_or_default()
            )
        };
        found.pairs.iter().map(line).collect()
    }

    fn faults(names: &[&str]) -> Vec<&'static str> {
        pair_names(names).faults.iter().map(Blame::kind).collect()
    }

    fn warnings(names: &[&str]) -> Vec<(String, &'static str)> {
        pair_names(names).warnings.into_iter().map(|warning| (warning.name, warning.kind)).collect()
    }

    #[test]
    fn folders_and_the_case_of_extensions_do_not_matter() {
        let names = ["clips/b.MP4", "masks/b_mask.Png", "text/b.TXT", "a.mov", "x/y/a_mask.webm"];
        assert_eq!(pairs(&names), ["a: a.mov x/y/a_mask.webm", "b: clips/b.MP4 masks/b_mask.Png text/b.TXT"]);
    }

    #[test]
    fn names_are_compared_with_case_and_in_nfc() {
        assert_eq!(pairs(&["e\u{301}.mp4", "\u{e9}_mask.png"]).len(), 1);
        assert_eq!(faults(&["a.mp4", "A_mask.png"]), ["missing-mask"]);
        assert_eq!(pairs(&["a.mp4", "a_mask.png", "A.mp4", "A_mask.png"]).len(), 2);
    }

    #[test]
    fn a_video_mask_is_its_clips_mask_or_a_clip_or_left_over() {
        assert_eq!(pairs(&["a.mp4", "a_mask.mp4"]), ["a: a.mp4 a_mask.mp4"]);
        assert_eq!(pairs(&["a_mask.mp4", "a_mask_mask.png"]), ["a_mask: a_mask.mp4 a_mask_mask.png"]);
        let three = ["a_mask_mask.mp4", "a_mask.mp4", "a.mp4"];
        assert_eq!(pairs(&three), ["a: a.mp4 a_mask.mp4"]);
        assert_eq!(warnings(&three), [("a_mask_mask.mp4".to_owned(), "orphan-mask")]);
        assert_eq!(faults(&["a_mask.mp4"]), ["no-clips"]);
    }

    #[test]
    fn two_of_anything_share_a_name() {
        let good = ["a.mp4", "a_mask.png", "a.txt"];
        for double in ["x/a.webm", "a.MP4", "a_mask.jpg", "a_mask.mov", "x/a.txt"] {
            assert_eq!(faults(&[&good[..], &[double]].concat()), ["duplicate-name"], "{double}");
        }
        assert_eq!(faults(&["a.mp4", "x/a.mp4", "y/a.mp4", "b.mp4"]).len(), 4);
    }

    #[test]
    fn what_is_left_over_is_told() {
        let names = ["a.mp4", "a_mask.png", "b_mask.png", "b.txt", "a.png", "readme", "a_mask.txt"];
        let wanted = [
            ("b_mask.png", "orphan-mask"),
            ("b.txt", "orphan-caption"),
            ("a_mask.txt", "orphan-caption"),
            ("a.png", "unknown-file"),
            ("readme", "unknown-file"),
        ];
        assert_eq!(warnings(&names), wanted.map(|(name, kind)| (name.to_owned(), kind)));
    }

    #[test]
    fn many_of_one_kind_are_summed_up() {
        let captions: Vec<String> = (0..7).map(|i| format!("{i}.txt")).collect();
        let mut names = vec!["a.mp4", "a_mask.png"];
        names.extend(captions.iter().map(String::as_str));
        let warnings = pair_names(&names).warnings;
        assert_eq!(warnings.len(), 1);
        assert_eq!(warnings[0].message, "7 captions belong to no clip: `0.txt`, `1.txt`, `2.txt` and 4 more");
    }
}
