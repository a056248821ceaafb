//! Names of entries: the user's text, which may be shown and is never used as a path.

use std::fmt::{self, Write};

use crate::ArchiveError;

/// The longest name of an entry, in bytes.
const MAX_NAME_BYTES: usize = 255;

/// The full name of an entry in the archive, folders included.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryName(String);

impl EntryName {
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name as found, control characters included.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name after the last folder.
    pub(crate) fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    pub(crate) fn is_folder(&self) -> bool {
        self.0.ends_with('/')
    }

    /// Hidden files and what operating systems leave behind; `.` and `..` are no such names.
    pub(crate) fn is_ignored(&self) -> bool {
        let hidden = |part: &str| part.starts_with('.') && part != "." && part != "..";
        let left_behind = ["thumbs.db", "desktop.ini"];
        self.0.split('/').any(|part| hidden(part) || part == "__MACOSX")
            || left_behind.iter().any(|name| self.file_name().eq_ignore_ascii_case(name))
    }

    /// What is wrong with this name, if anything.
    pub(crate) fn fault(&self) -> Option<ArchiveError> {
        let bad = |reason| Some(ArchiveError::BadEntryName { entry: self.clone(), reason });
        let unsafe_path = |reason| Some(ArchiveError::UnsafePath { entry: self.clone(), reason });
        let name = self.0.as_str();
        let mut parts = name.split(['/', '\\']);
        match name.as_bytes() {
            [] => bad("it is empty"),
            bytes if bytes.len() > MAX_NAME_BYTES => bad("it is longer than 255 bytes"),
            bytes if bytes.contains(&0) => bad("it contains a NUL"),
            [b'/' | b'\\', ..] => unsafe_path("it is absolute"),
            [drive, b':', ..] if drive.is_ascii_alphabetic() => unsafe_path("it names a drive"),
            _ if parts.any(|part| part == "..") => unsafe_path("it climbs out of its folder"),
            bytes if bytes.contains(&b'\\') => bad("it contains a backslash"),
            _ => None,
        }
    }
}

/// Control characters are escaped and long names are cut, so that a name cannot write to a terminal or flood it.
impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, c) in self.0.chars().enumerate() {
            match c {
                _ if i == MAX_NAME_BYTES => return f.write_str("..."),
                c if c.is_control() => write!(f, "{}", c.escape_default())?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tensor_batch::Blame;

    use super::*;

    fn kind(name: &str) -> Option<&'static str> {
        EntryName::new(name).fault().map(|fault| fault.kind())
    }

    #[test]
    fn names_that_leave_the_archive_are_unsafe() {
        for name in
            ["/tmp/x", "../x", "a/../../x", "a/..", "C:/x", "c:\\x", "..\\x", "\\\\server\\x", "a\\..\\x"]
        {
            assert_eq!(kind(name), Some("unsafe-path"), "{name}");
        }
    }

    #[test]
    fn names_that_tools_read_differently_are_bad() {
        for name in ["", "a\0.mp4", "a\\b.mp4", &"x".repeat(256)] {
            assert_eq!(kind(name), Some("bad-entry-name"), "{name}");
        }
    }

    #[test]
    fn common_names_are_fine() {
        for name in ["a.mp4", "./a.mp4", "a b/ü..mp4", "...", "日本.txt", "ab:c.mp4", &"x".repeat(255)] {
            assert_eq!(kind(name), None, "{name}");
        }
    }

    #[test]
    fn hidden_files_and_leftovers_of_systems_are_ignored() {
        for name in [".x", "a/.DS_Store", ".git/config.mp4", "__MACOSX/a.mp4", "a/Thumbs.db", "Desktop.ini"] {
            assert!(EntryName::new(name).is_ignored(), "{name}");
        }
        for name in ["./a.mp4", "a.mp4", "../x", "MACOSX/a.mp4"] {
            assert!(!EntryName::new(name).is_ignored(), "{name}");
        }
    }

    #[test]
    fn a_shown_name_is_escaped_and_cut() {
        assert_eq!(EntryName::new("a\u{1b}[2J\n").to_string(), "a\\u{1b}[2J\\n");
        assert_eq!(EntryName::new("x".repeat(60_000)).to_string().len(), 258);
    }
}
