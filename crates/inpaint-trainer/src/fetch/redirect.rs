//! Where a redirect leads to.

use crate::{Location, LocationError};

/// Why a redirect is not followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the messages are the documentation")]
pub enum RedirectError {
    #[error("it redirects more than {limit} times")]
    TooMany { limit: u32 },
    #[error("it redirects to a URL with the scheme `{scheme}`, only http and https are followed")]
    Scheme { scheme: String },
    #[error("it redirects from https to http, where anyone on the way could change the data")]
    Downgrade,
    #[error("it redirects to what is no URL")]
    NoUrl {
        #[source]
        source: LocationError,
    },
}

/// What the server at the URL `base` means by the `reference` in its `Location` header. Its scheme never goes from
/// https back to http: whoever asks for https gets https or nothing.
///
/// # Errors
/// If it is no http or https URL, or a downgrade.
pub(super) fn follow(base: &str, reference: &str) -> Result<Location, RedirectError> {
    let url = resolve(base, reference);
    // A server may call anything a scheme; a few letters tell.
    let scheme: String = scheme_of(&url).unwrap_or_default().to_ascii_lowercase().chars().take(16).collect();
    if scheme != "http" && scheme != "https" {
        return Err(RedirectError::Scheme { scheme });
    }
    let was_https = scheme_of(base).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
    if was_https && scheme == "http" {
        return Err(RedirectError::Downgrade);
    }
    url.parse().map_err(|source| RedirectError::NoUrl { source })
}

/// Resolves a reference as RFC 3986 says in section 5.2, without its fragment.
fn resolve(base: &str, reference: &str) -> String {
    let reference = before(reference, &['#']);
    if scheme_of(reference).is_some() {
        return reference.to_owned();
    }
    let (scheme, rest) = before(base, &['#']).split_once("://").unwrap_or_default();
    if reference.starts_with("//") {
        return format!("{scheme}:{reference}");
    }
    let host = before(rest, &['/', '?']);
    let path_and_query = &rest[host.len()..];
    let path = before(path_and_query, &['?']);
    let target = match reference.chars().next() {
        None => path_and_query.to_owned(),
        Some('?') => format!("{path}{reference}"),
        Some('/') => without_dots(reference),
        Some(_) => {
            let folder = path.rfind('/').map_or("/", |end| &path[..=end]);
            without_dots(&format!("{folder}{reference}"))
        }
    };
    format!("{scheme}://{host}{target}")
}

/// The scheme of a URL; a relative reference has none.
fn scheme_of(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once(':')?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    is_scheme.then_some(scheme)
}

fn before<'a>(text: &'a str, ends: &[char]) -> &'a str {
    &text[..text.find(ends).unwrap_or(text.len())]
}

/// An absolute path, perhaps with a query, whose segments `.` and `..` are gone.
fn without_dots(path_and_query: &str) -> String {
    let path = before(path_and_query, &['?']);
    let mut kept = Vec::new();
    let mut ends_in_folder = false;
    for segment in path.split('/').skip(1) {
        ends_in_folder = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            _ => kept.push(segment),
        }
    }
    if ends_in_folder {
        kept.push("");
    }
    format!("/{}{}", kept.join("/"), &path_and_query[path.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Section 5.4 of RFC 3986, whose base is `http://a/b/c/d;p?q`. Fragments are left out: none is ever sent.
    #[test]
    fn references_are_resolved_as_in_the_examples_of_the_standard() {
        let examples = [
            ("g:h", "g:h"),
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g", "http://g"),
            ("?y", "http://a/b/c/d;p?y"),
            ("g?y", "http://a/b/c/g?y"),
            ("#s", "http://a/b/c/d;p?q"),
            ("g#s", "http://a/b/c/g"),
            ("g?y#s", "http://a/b/c/g?y"),
            (";x", "http://a/b/c/;x"),
            ("g;x", "http://a/b/c/g;x"),
            ("g;x?y#s", "http://a/b/c/g;x?y"),
            ("", "http://a/b/c/d;p?q"),
            (".", "http://a/b/c/"),
            ("./", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../..", "http://a/"),
            ("../../", "http://a/"),
            ("../../g", "http://a/g"),
            ("../../../g", "http://a/g"),
            ("../../../../g", "http://a/g"),
            ("/./g", "http://a/g"),
            ("/../g", "http://a/g"),
            ("g.", "http://a/b/c/g."),
            (".g", "http://a/b/c/.g"),
            ("g..", "http://a/b/c/g.."),
            ("..g", "http://a/b/c/..g"),
            ("./../g", "http://a/b/g"),
            ("./g/.", "http://a/b/c/g/"),
            ("g/./h", "http://a/b/c/g/h"),
            ("g/../h", "http://a/b/c/h"),
            ("g;x=1/./y", "http://a/b/c/g;x=1/y"),
            ("g;x=1/../y", "http://a/b/c/y"),
            ("g?y/./x", "http://a/b/c/g?y/./x"),
            ("g?y/../x", "http://a/b/c/g?y/../x"),
            ("g#s/./x", "http://a/b/c/g"),
            ("g#s/../x", "http://a/b/c/g"),
            ("http:g", "http:g"),
        ];
        for (reference, target) in examples {
            assert_eq!(resolve("http://a/b/c/d;p?q", reference), target, "{reference}");
        }
    }

    #[test]
    fn a_base_without_a_path_is_the_root() {
        for (base, reference, target) in [
            ("http://a", "g", "http://a/g"),
            ("http://a?q", "g", "http://a/g"),
            ("http://a?q=/x/y", "../g", "http://a/g"),
            ("http://a", "?y", "http://a?y"),
            ("http://a#s", "", "http://a"),
            ("http://user:key@a:80/b#s", "/g", "http://user:key@a:80/g"),
        ] {
            assert_eq!(resolve(base, reference), target, "{base} {reference}");
        }
    }

    #[test]
    fn the_web_is_never_left_and_https_never_given_up() {
        use RedirectError as E;
        let scheme = |scheme: &str| Err(E::Scheme { scheme: scheme.to_owned() });
        let to = |url: &str| Ok(url.parse().unwrap());
        let cases = [
            ("http://a", "https://b/c", to("https://b/c")),
            ("https://a", "HTTPS://b/c", to("HTTPS://b/c")),
            ("https://a", "//b/c", to("https://b/c")),
            ("http://a", "//b/c", to("http://b/c")),
            ("https://a/b", "http://a/b", Err(E::Downgrade)),
            ("HTTPS://a/b", "Http://c", Err(E::Downgrade)),
            ("http://a", "file:///etc/passwd", scheme("file")),
            ("http://a", "FILE:/etc/passwd", scheme("file")),
            ("http://a", "file://localhost/etc/passwd", scheme("file")),
            ("https://a", "ftp://b/c", scheme("ftp")),
            ("http://a", "gopher://127.0.0.1:6379/_", scheme("gopher")),
            ("http://a", "socks5://b", scheme("socks5")),
            ("http://a", "data:,x", scheme("data")),
            ("http://a", "http:///c", Err(E::NoUrl { source: LocationError::NoHost })),
            ("http://a", "http:c", Err(E::NoUrl { source: LocationError::NoHost })),
            ("http://a", "//", Err(E::NoUrl { source: LocationError::NoHost })),
            ("http://a", "b c", Err(E::NoUrl { source: LocationError::Space })),
        ];
        for (base, reference, target) in cases {
            assert_eq!(follow(base, reference), target, "{base} {reference}");
        }
    }
}
