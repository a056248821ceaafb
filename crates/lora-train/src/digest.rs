//! Digests: what content is called.
//!
//! BLAKE3, because it is a cryptographic hash that is as fast as a checksum: a snapshot of the real model is 1.2 GB, and the
//! same hash names cached content and finds damage.

use std::{fmt, fs::File, io, path::Path};

use serde::{Deserialize, Serialize};

/// The name of some content: equal content has equal names, and other content another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; Digest::BYTES]);

impl Digest {
    /// How many bytes a digest has.
    pub const BYTES: usize = blake3::OUT_LEN;

    /// The digest of bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

/// 64 lower-case hexadecimal digits.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for Digest {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let hash = blake3::Hash::from_hex(&text).map_err(|e| format!("`{text}` is no digest: {e}"))?;
        Ok(Self(*hash.as_bytes()))
    }
}

/// Digests several parts, each with its length, so that where one ends and the next begins matters.
///
/// ```
/// use lora_train::DigestBuilder;
/// let digest = |parts: [&str; 2]| DigestBuilder::new().part(parts[0]).part(parts[1]).finish();
/// assert_ne!(digest(["ab", "c"]), digest(["a", "bc"]));
/// ```
#[derive(Debug, Clone, Default)]
pub struct DigestBuilder(blake3::Hasher);

impl DigestBuilder {
    /// No parts yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes.
    #[must_use]
    pub fn part(mut self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.0.update(bytes).update(&(bytes.len() as u64).to_le_bytes());
        self
    }

    /// Adds what a file holds, without having it in memory.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn file(mut self, path: &Path) -> io::Result<Self> {
        let before = self.0.count();
        self.0.update_reader(File::open(path)?)?;
        let length = self.0.count() - before;
        self.0.update(&length.to_le_bytes());
        Ok(self)
    }

    /// The digest of all parts.
    pub fn finish(self) -> Digest {
        Digest(*self.0.finalize().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_blake3_and_reads_back() {
        // The published test vector of no input.
        let text = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        assert_eq!(Digest::of(b"").to_string(), text);
        assert_eq!(Digest::try_from(text.to_owned()), Ok(Digest::of(b"")));
        for bad in ["", &text[1..], &format!("{}g", &text[1..])] {
            assert!(Digest::try_from(bad.to_owned()).is_err());
        }
    }

    #[test]
    fn a_file_counts_as_its_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("clip");
        let bytes: Vec<u8> = (0..200_000u32).map(|i| i.wrapping_mul(i) as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let of_file = DigestBuilder::new().part("a").file(&path).unwrap().part("b").finish();
        assert_eq!(of_file, DigestBuilder::new().part("a").part(&bytes).part("b").finish());
        assert!(DigestBuilder::new().file(&dir.path().join("none")).is_err());
    }
}
