//! Caption to token ids.

use std::path::{Path, PathBuf};

use crate::ModelError;

/// Gemma's tokenizer, from the `tokenizer.json` of its folder.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    path: PathBuf,
    bos: u32,
    pad: u32,
}

/// The token ids of one caption, `<bos>` first, without padding; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    ids: Vec<u32>,
}

impl Tokens {
    /// Ids as they are. None if there are none.
    pub fn new(ids: Vec<u32>) -> Option<Self> {
        (!ids.is_empty()).then_some(Self { ids })
    }

    /// The ids.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }
}

impl Tokenizer {
    /// Opens `tokenizer.json` in `folder`.
    ///
    /// # Errors
    /// If the file cannot be read, is no tokenizer, or has no `<bos>` or neither of `<pad>` and `<eos>`.
    pub fn open(folder: &Path) -> Result<Self, ModelError> {
        let path = folder.join("tokenizer.json");
        let bytes = std::fs::read(&path).map_err(|source| ModelError::Io { path: path.clone(), source })?;
        Self::parse(&bytes, &path).map_err(|reason| ModelError::Malformed { path, reason })
    }

    fn parse(bytes: &[u8], path: &Path) -> Result<Self, String> {
        let mut inner = tokenizers::Tokenizer::from_bytes(bytes).map_err(|e| e.to_string())?;
        // Cutting and padding are ours, whatever the file was saved with.
        inner.with_truncation(None).map_err(|e| e.to_string())?;
        inner.with_padding(None);
        let bos = inner.token_to_id("<bos>").ok_or("there is no <bos> token")?;
        let pad = inner.token_to_id("<pad>").or_else(|| inner.token_to_id("<eos>"));
        let pad = pad.ok_or("there is neither a <pad> nor an <eos> token")?;
        Ok(Self { inner, path: path.to_owned(), bos, pad })
    }

    /// Tokenizes `prompt`: white space at both ends is trimmed, `<bos>` comes first, and the tail beyond
    /// `max_length` tokens is lost. An empty prompt is `<bos>` alone.
    ///
    /// # Errors
    /// If the tokenizer cannot take the text, which a complete one always can.
    pub fn encode(&self, prompt: &str, max_length: usize) -> Result<Tokens, ModelError> {
        let malformed = |reason: String| ModelError::Malformed { path: self.path.clone(), reason };
        let encoding = self.inner.encode_fast(trim(prompt), true).map_err(|e| malformed(e.to_string()))?;
        let mut ids = encoding.get_ids().to_vec();
        if ids.first() != Some(&self.bos) {
            ids.insert(0, self.bos);
        }
        ids.truncate(max_length.max(1));
        Ok(Tokens { ids })
    }

    /// The reference's row of `length` ids: padding first, then the tokens.
    pub fn left_padded(&self, tokens: &Tokens, length: usize) -> Vec<u32> {
        let mut row = vec![self.pad; length.saturating_sub(tokens.ids.len())];
        row.extend(&tokens.ids);
        row
    }
}

/// Trims what Python's `str.strip` trims: Unicode white space and the four ASCII separators.
fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || ('\x1c'..='\x1f').contains(&c))
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use serde_json::{Value, json};

    use super::*;

    fn file(added: &[&str]) -> Value {
        let token = |(id, content): (usize, &&str)| {
            json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                   "normalized": false, "special": true})
        };
        let mut vocab = json!({"a": 7, "b": 8, "c c": 9, "<unk>": 10});
        for (id, content) in added.iter().enumerate() {
            vocab[content] = json!(id);
        }
        json!({
            "version": "1.0",
            "truncation": {"direction": "Left", "max_length": 1, "strategy": "LongestFirst", "stride": 0},
            "padding": {"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": null,
                        "pad_id": 0, "pad_type_id": 0, "pad_token": "<pad>"},
            "added_tokens": added.iter().enumerate().map(token).collect::<Vec<_>>(),
            "normalizer": null, "pre_tokenizer": null, "post_processor": null, "decoder": null,
            "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "<unk>"},
        })
    }

    fn tokenizer(added: &[&str]) -> Result<Tokenizer, String> {
        Tokenizer::parse(file(added).to_string().as_bytes(), Path::new("tokenizer.json"))
    }

    #[test]
    fn bos_is_added_where_the_file_does_not() -> Result<(), Box<dyn Error>> {
        let tokenizer = tokenizer(&["<pad>", "<eos>", "<bos>"])?;
        assert_eq!(tokenizer.encode("", 8)?.ids(), [2]);
        assert_eq!(tokenizer.encode("a", 8)?.ids(), [2, 7]);
        assert_eq!(tokenizer.encode("<bos>a", 8)?.ids(), [2, 7]);
        Ok(())
    }

    #[test]
    fn white_space_goes_at_the_ends_only() -> Result<(), Box<dyn Error>> {
        let tokenizer = tokenizer(&["<pad>", "<eos>", "<bos>"])?;
        assert_eq!(tokenizer.encode("\u{3000}\n c c\x1f\t", 8)?.ids(), [2, 9]);
        Ok(())
    }

    #[test]
    fn the_tail_is_cut_and_padding_comes_first() -> Result<(), Box<dyn Error>> {
        let tokenizer = tokenizer(&["<pad>", "<eos>", "<bos>"])?;
        let tokens = tokenizer.encode("a<eos>b", 3)?;
        assert_eq!(tokens.ids(), [2, 7, 1]);
        assert_eq!(tokenizer.left_padded(&tokens, 5), [0, 0, 2, 7, 1]);
        Ok(())
    }

    #[test]
    fn eos_pads_where_there_is_no_pad() -> Result<(), Box<dyn Error>> {
        let tokenizer = tokenizer(&["<eos>", "<bos>"])?;
        let tokens = tokenizer.encode("a", 8)?;
        assert_eq!(tokenizer.left_padded(&tokens, 3), [0, 1, 7]);
        Ok(())
    }

    #[test]
    fn a_broken_file_is_named() {
        assert!(tokenizer(&["<pad>"]).is_err_and(|reason| reason.contains("<bos>")));
        let folder = std::env::temp_dir().join("there-is-no-such-folder");
        assert!(matches!(Tokenizer::open(&folder), Err(ModelError::Io { .. })));
        assert!(Tokenizer::parse(b"{", Path::new("tokenizer.json")).is_err());
    }
}
