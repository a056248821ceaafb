//! HTML that cannot be broken from outside: markup is this program's own, everything else is escaped.

use std::fmt::{self, Display, Write};

/// An attribute: its name, and its value, which is escaped.
pub(super) type Attribute<'a> = (&'static str, &'a dyn Display);

/// A piece of a page. Only `&'static str` goes in as markup, so that no text of a user's ever does.
#[derive(Debug, Default)]
pub(super) struct Html(String);

impl Html {
    /// Markup as it is.
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Text, escaped.
    pub(super) fn text(&mut self, text: impl Display) -> &mut Self {
        // Writing to a string does not fail.
        let _ = write!(Escaped(&mut self.0), "{text}");
        self
    }

    /// A user's text, at most `letters` of it, kept apart from the direction of writing around it.
    pub(super) fn user(&mut self, text: &str, letters: usize) -> &mut Self {
        self.raw("<bdi>").text(shortened(text, letters)).raw("</bdi>")
    }

    /// The beginning of an element.
    pub(super) fn open(&mut self, tag: &'static str, attributes: &[Attribute<'_>]) -> &mut Self {
        self.raw("<").raw(tag);
        for (name, value) in attributes {
            self.raw(" ").raw(name).raw("=\"").text(value).raw("\"");
        }
        self.raw(">")
    }

    /// The end of an element.
    pub(super) fn close(&mut self, tag: &'static str) -> &mut Self {
        self.raw("</").raw(tag).raw(">")
    }

    /// An element with text in it.
    pub(super) fn element(
        &mut self,
        tag: &'static str,
        attributes: &[Attribute<'_>],
        text: impl Display,
    ) -> &mut Self {
        self.open(tag, attributes).text(text).close(tag)
    }

    /// A picture from its JPEG bytes.
    pub(super) fn jpeg(&mut self, jpeg: &[u8], alt: &str) -> &mut Self {
        self.raw("<img loading=\"lazy\" decoding=\"async\" alt=\"").text(alt);
        self.raw("\" src=\"data:image/jpeg;base64,");
        base64(&mut self.0, jpeg);
        self.raw("\">")
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

/// The beginning of a text of more than `letters`.
pub(super) fn shortened(text: &str, letters: usize) -> String {
    match text.char_indices().nth(letters) {
        Some((end, _)) => format!("{} …", text[..end].trim_end()),
        None => text.to_owned(),
    }
}

struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for letter in text.chars() {
            match letter {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\n' | '\t' => self.0.push(letter),
                _ if letter.is_control() => self.0.push('\u{fffd}'),
                _ => self.0.push(letter),
            }
        }
        Ok(())
    }
}

/// RFC 4648, section 4.
fn base64(to: &mut String, bytes: &[u8]) {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for three in bytes.chunks(3) {
        let at = |index: usize| u32::from(three.get(index).copied().unwrap_or(0));
        let group = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4 {
            let letter = LETTERS[(group >> (18 - 6 * place) & 63) as usize];
            to.push(if place <= three.len() { char::from(letter) } else { '=' });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_is_text() {
        let mut html = Html::default();
        html.element("p", &[("title", &"\" onload='x'")], "<script>alert(1)</script>&amp;\u{0}\u{1b}[31m\n");
        assert_eq!(
            html.finish(),
            "<p title=\"&quot; onload=&#39;x&#39;\">&lt;script&gt;alert(1)&lt;/script&gt;&amp;amp;\
             \u{fffd}\u{fffd}[31m\n</p>"
        );
    }

    #[test]
    fn long_texts_are_cut_between_letters() {
        let mut html = Html::default();
        html.user("aü<bcd", 3).user("abc", 3);
        assert_eq!(html.finish(), "<bdi>aü&lt; …</bdi><bdi>abc</bdi>");
    }

    #[test]
    fn pictures_are_encoded_as_the_standard_says() {
        for (bytes, wanted) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            let mut text = String::new();
            base64(&mut text, bytes.as_bytes());
            assert_eq!(text, wanted);
        }
    }
}
