//! How much may be embedded: a page must open on a phone, whatever the run was.

use std::path::Path;

/// Bytes of pictures in a page, before they are written as text.
const ALL: usize = 4 << 20;
/// Bytes of one.
const ONE: u64 = 512 << 10;

/// What is left of the room for pictures.
#[derive(Debug)]
pub(super) struct Budget {
    left: usize,
    /// Pictures for which there was no room, or that could not be read.
    pub(super) left_out: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { left: ALL, left_out: 0 }
    }
}

impl Budget {
    /// Whether a picture of so many bytes may be embedded; it is then accounted for.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        let fits = bytes <= self.left;
        if fits {
            self.left -= bytes;
        } else {
            self.left_out += 1;
        }
        fits
    }

    /// A JPEG file, if it is one and there is room for it.
    pub(super) fn read(&mut self, path: &Path) -> Option<Vec<u8>> {
        let is_small = std::fs::metadata(path).is_ok_and(|about| about.is_file() && about.len() <= ONE);
        let jpeg = is_small
            .then(|| std::fs::read(path).ok())
            .flatten()
            .filter(|bytes| bytes.starts_with(&[0xff, 0xd8]));
        match jpeg {
            Some(jpeg) => self.take(jpeg.len()).then_some(jpeg),
            None => {
                self.left_out += 1;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_counted_and_what_does_not_fit_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jpg");
        let mut budget = Budget { left: 10, left_out: 0 };
        std::fs::write(&path, [0xff, 0xd8, 1, 2]).unwrap();
        assert_eq!(budget.read(&path), Some(vec![0xff, 0xd8, 1, 2]));
        assert!(budget.take(6) && !budget.take(1));
        std::fs::write(&path, "<script>").unwrap();
        assert_eq!(budget.read(&path), None);
        assert_eq!(budget.read(&dir.path().join("nowhere")), None);
        assert_eq!(budget.left_out, 3);
    }
}
