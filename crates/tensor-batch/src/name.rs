//! Names and captions, as the user wrote them.

use std::fmt;

/// The name that a clip, its mask and its caption share: the file name without folder, extension and `_mask`.
///
/// It is the user's text: it may be shown, and is never used as a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct Stem(String);

impl Stem {
    /// A name as found.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name as found, control characters included.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Control characters are escaped, so that a name cannot write to a terminal.
impl fmt::Display for Stem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if c.is_control() { write!(f, "{}", c.escape_default())? } else { write!(f, "{c}")? }
        }
        Ok(())
    }
}

/// What a clip shows, trimmed and never blank.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize)]
pub struct Caption(String);

impl Caption {
    /// A caption, or none if `text` is blank.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The prompt of an example: the trigger phrase, one space, the caption; either may be missing.
    pub fn prompt(trigger: &str, caption: Option<&Self>) -> String {
        let trigger = trigger.trim();
        match (trigger.is_empty(), caption) {
            (true, None) => String::new(),
            (true, Some(caption)) => caption.0.clone(),
            (false, None) => trigger.to_owned(),
            (false, Some(caption)) => format!("{trigger} {}", caption.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_is_trigger_space_caption() {
        let caption = Caption::new(" a red fox \r\n");
        assert_eq!(Caption::prompt(" zebra ", caption.as_ref()), "zebra a red fox");
        assert_eq!(Caption::prompt("", caption.as_ref()), "a red fox");
        assert_eq!(Caption::prompt("zebra", None), "zebra");
        assert_eq!(Caption::prompt("  ", None), "");
        assert_eq!(Caption::new(" \n"), None);
    }

    #[test]
    fn a_shown_name_cannot_write_to_the_terminal() {
        assert_eq!(Stem::new("a\u{1b}[2Jb").to_string(), "a\\u{1b}[2Jb");
    }
}
