//! Users, passwords and signatures in URLs.

use super::*;

/// `url` with user, password and signature.
fn with_secrets(url: &Location) -> Location {
    let url = url.as_str().replace("http://", "http://user:secret1@");
    format!("{url}?signature=secret2#secret3").parse().unwrap()
}

#[test]
fn a_user_and_a_password_go_to_their_own_host_alone() {
    let (there, elsewhere) = serve(vec![found("there")]);
    let (here, own) = serve(vec![redirect("/b.zip"), redirect(there.as_str())]);
    let fetcher = Fetcher { redirects: 2, ..anywhere() };
    assert_eq!(download(&fetcher, &with_secrets(&here)).unwrap(), "there");
    // `user:secret1` in base 64.
    let has_secret = |head: &[String]| head.iter().any(|line| line.contains("Basic dXNlcjpzZWNyZXQx"));
    assert!(own.iter().all(|head| has_secret(&head)));
    assert!(!elsewhere.iter().any(|head| has_secret(&head)));
}

#[test]
fn no_error_repeats_a_secret() {
    let secret = |text: &str| text.contains("secret") || text.contains("user");
    let served = [
        "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbytes",
        "HTTP/1.1 302 Found\r\nLocation: https://user:secret4@host/b c?secret5\r\n\r\n",
        "HTTP/1.1 302 Found\r\nLocation: ftp://user:secret4@host/b?secret5\r\n\r\n",
        "HTTP/1.1 302 Found\r\nLocation: http://user:secret4@127.0.0.1:1/b?secret5\r\n\r\n",
        "strange",
    ];
    for answer in served {
        let error = download(&anywhere(), &with_secrets(&serve_one(answer))).unwrap_err();
        assert!(in_words(&error).contains("http://127.0.0.1") && !secret(&in_words(&error)), "{error:?}");
    }
    let brief = Duration::from_millis(20);
    for fetcher in [Fetcher { time: brief, ..anywhere() }, Fetcher { silence: brief, ..anywhere() }] {
        let error = download(&fetcher, &with_secrets(&serve_and_fall_silent(""))).unwrap_err();
        assert!(!secret(&in_words(&error)), "{error:?}");
    }
    for url in [
        "http://user:secret@127.0.0.1/?secret",
        "http://user:secret@ho^st/?secret",
        "http://user:secret@:80/",
    ] {
        let Ok(location) = url.parse() else { continue };
        let error = download(&Fetcher::default(), &location).unwrap_err();
        assert!(!secret(&in_words(&error)), "{error:?}");
    }
}
