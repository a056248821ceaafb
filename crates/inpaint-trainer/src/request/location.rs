//! Where data lies: a web address or a path.

use std::{fmt, path::Path, str::FromStr};

use tensor_batch::{Blame, Fault, Stem};

/// Where data lies: an `http` or `https` URL, or a path, which may be given as a `file` URL.
#[derive(Clone, PartialEq, Eq)]
pub struct Location {
    text: String,
    is_web: bool,
}

impl Location {
    /// The URL, if it is on the web.
    pub fn url(&self) -> Option<&str> {
        self.is_web.then_some(&self.text)
    }

    /// The path, if it is a file.
    pub fn path(&self) -> Option<&Path> {
        (!self.is_web).then(|| Path::new(&self.text))
    }

    /// The URL or the path.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// For messages: control characters are escaped, and a URL is without what may be a secret, which is user, password,
/// query and fragment.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.url().and_then(|url| url.split_once("://")) {
            None => write!(f, "{}", Stem::new(self.text.as_str())),
            Some((scheme, rest)) => {
                let shown = rest.split(['?', '#']).next().unwrap_or_default();
                let (authority, path) = shown.split_at(shown.find('/').unwrap_or(shown.len()));
                let host = authority.rsplit('@').next().unwrap_or_default();
                write!(f, "{scheme}://{host}{path}")
            }
        }
    }
}

/// As shown in messages, so that no log has the secret either.
impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Location(`{self}`)")
    }
}

/// Why a text is no [`Location`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the messages are the documentation")]
pub enum LocationError {
    #[error("must not be blank")]
    Blank,
    #[error("must be an http, https or file URL or a path, the scheme `{scheme}` is not supported")]
    Scheme { scheme: String },
    #[error("must name a host, as in `https://host/data.zip`")]
    NoHost,
    #[error("must be without a host, as in `file:///folder/data.zip`")]
    FileHost,
    #[error("must be without spaces and control characters, which a URL writes as `%20`")]
    Space,
    #[error("must have two hexadecimal digits after every `%`, and stand for UTF-8")]
    Percent,
    #[error("must be without the character 0")]
    Nul,
}

impl Blame for LocationError {
    fn fault(&self) -> Fault {
        Fault::Request
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Blank => "missing-field",
            _ => "bad-url",
        }
    }
}

impl FromStr for Location {
    type Err = LocationError;

    /// Reads a URL or a path. What has no scheme is a path; a single letter before the colon is a drive.
    fn from_str(text: &str) -> Result<Self, LocationError> {
        let (is_web, text) = match scheme(text) {
            _ if text.trim().is_empty() => return Err(LocationError::Blank),
            None => (false, text.to_owned()),
            Some((scheme, rest)) => match scheme.to_ascii_lowercase().as_str() {
                "http" | "https" => (true, check_web(rest).map(|()| text.to_owned())?),
                "file" => (false, file_path(rest)?),
                _ => return Err(LocationError::Scheme { scheme: scheme.to_owned() }),
            },
        };
        if text.contains('\0') { Err(LocationError::Nul) } else { Ok(Self { text, is_web }) }
    }
}

/// Splits `scheme:rest`. A colon may be part of a path, so an unknown scheme needs `//` too.
fn scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let named = scheme.len() > 1
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let known = ["http", "https", "file", "data"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    (named && (known || rest.starts_with("//"))).then_some((scheme, rest))
}

fn check_web(rest: &str) -> Result<(), LocationError> {
    let authority = rest.strip_prefix("//").and_then(|rest| rest.split(['/', '?', '#']).next());
    let host = authority.and_then(|authority| authority.rsplit('@').next()).unwrap_or_default();
    if host.is_empty() || host.starts_with(':') {
        return Err(LocationError::NoHost);
    }
    let blank = |c: char| c.is_whitespace() || c.is_control();
    if rest.contains(blank) { Err(LocationError::Space) } else { Ok(()) }
}

fn file_path(rest: &str) -> Result<String, LocationError> {
    let path = match rest.strip_prefix("//") {
        Some(rest) => rest.strip_prefix("localhost").unwrap_or(rest),
        None => rest,
    };
    if !path.starts_with('/') {
        return Err(LocationError::FileHost);
    }
    percent_decoded(path).ok_or(LocationError::Percent)
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let digits = part.get(..2).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn web_addresses_stay_as_they_are() {
        for url in ["https://host/a.zip", "HTTP://user:key@host:8080?a=b", "http://[::1]/a%20b"] {
            let location: Location = url.parse().unwrap();
            assert_eq!((location.url(), location.path()), (Some(url), None));
        }
    }

    #[test]
    fn a_url_is_shown_without_its_secrets() {
        let shown = [
            ("https://host/a.zip", "https://host/a.zip"),
            ("HTTP://user:key@host:8080/a/b.zip?signature=abc#d", "HTTP://host:8080/a/b.zip"),
            ("https://user@host?signature=@/abc", "https://host"),
            ("https://us@er:k@ey@host/a", "https://host/a"),
            ("http://key@[::1]:80/a@b", "http://[::1]:80/a@b"),
            ("my clips/a=b?c#d.zip", "my clips/a=b?c#d.zip"),
            ("file:///a%1Bb", "/a\\u{1b}b"),
        ];
        for (text, wanted) in shown {
            let location: Location = text.parse().unwrap();
            assert_eq!(location.to_string(), wanted);
            assert_eq!(format!("{location:?}"), format!("Location(`{wanted}`)"));
        }
    }

    #[test]
    fn paths_and_file_urls_become_paths() {
        let paths = [
            ("data.zip", "data.zip"),
            ("../my clips: v2/a=b.zip", "../my clips: v2/a=b.zip"),
            ("take:2.zip", "take:2.zip"),
            ("C:\\data.zip", "C:\\data.zip"),
            ("file:///my%20clips/%C3%A9.zip", "/my clips/é.zip"),
            ("file://localhost/a", "/a"),
            ("file:/a", "/a"),
        ];
        for (text, path) in paths {
            let location: Location = text.parse().unwrap();
            assert_eq!((location.url(), location.path()), (None, Some(Path::new(path))), "{text}");
            assert_eq!(location.as_str().parse(), Ok(location), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_fetched_is_refused_with_the_reason() {
        use LocationError as E;
        let scheme = |scheme: &str| E::Scheme { scheme: scheme.to_owned() };
        let wrong = [
            ("", E::Blank),
            (" \t", E::Blank),
            ("ftp://host/a.zip", scheme("ftp")),
            ("s3://bucket/a.zip", scheme("s3")),
            ("data:application/zip;base64,UEsF", scheme("data")),
            ("https://", E::NoHost),
            ("https:host/a.zip", E::NoHost),
            ("https://:80/a.zip", E::NoHost),
            ("https://user@/a.zip", E::NoHost),
            ("https://host/a b.zip", E::Space),
            ("file://host/a.zip", E::FileHost),
            ("file:a.zip", E::FileHost),
            ("file://localhostess/a.zip", E::FileHost),
            ("file:///a%2.zip", E::Percent),
            ("file:///a%+1.zip", E::Percent),
            ("file:///a%ff.zip", E::Percent),
            ("file:///a%00.zip", E::Nul),
            ("a\0.zip", E::Nul),
        ];
        for (text, error) in wrong {
            assert_eq!(text.parse::<Location>(), Err(error), "{text}");
        }
    }
}
