//! Downloads that go well, and that do not.

use super::*;

#[test]
fn a_download_is_kept_and_its_bytes_are_told() {
    assert_eq!(download(&anywhere(), &serve_one(found("ten bytes!"))).unwrap(), "ten bytes!");
    assert_eq!(download(&anywhere(), &serve_one(found(""))).unwrap(), "");
}

#[test]
fn a_download_takes_the_place_of_what_was_there_only_if_it_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("target");
    fs::write(&target, "earlier").unwrap();
    let broken = serve_one("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nseven b");
    assert!(fetch_to(&anywhere(), &target, &broken).is_err());
    assert_eq!(fs::read_to_string(&target).unwrap(), "earlier");
    fetch_to(&anywhere(), &target, &serve_one(found("later"))).unwrap();
    assert_eq!(fs::read_to_string(&target).unwrap(), "later");
}

#[test]
fn bytes_are_kept_as_they_come() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 8\r\n\r\nno gzip!";
    let (url, heads) = serve(vec![answer.to_owned()]);
    assert_eq!(download(&anywhere(), &url).unwrap(), "no gzip!");
    let head = heads.recv().unwrap();
    assert!(head.iter().any(|line| line.eq_ignore_ascii_case("accept-encoding: identity")), "{head:?}");
}

#[test]
fn redirects_are_followed_as_far_as_allowed() {
    let (twice, heads) = serve(vec![redirect("../b/c.zip?d"), redirect("e.zip"), found("there")]);
    assert_eq!(download(&Fetcher { redirects: 2, ..anywhere() }, &twice).unwrap(), "there");
    let asked: Vec<String> = heads.iter().map(|head| head[0].clone()).collect();
    assert_eq!(asked, ["GET /a.zip HTTP/1.1", "GET /b/c.zip?d HTTP/1.1", "GET /b/e.zip HTTP/1.1"]);

    for (fetcher, redirects) in [(anywhere(), 2), (Fetcher { redirects: 0, ..anywhere() }, 1)] {
        let mut answers = vec![redirect("/b.zip"); redirects];
        answers.push(found("there"));
        let error = download(&fetcher, &serve(answers).0).unwrap_err();
        let limit = fetcher.redirects;
        assert!(
            matches!(&error, FetchError::Redirect { source, .. } if *source == RedirectError::TooMany { limit }),
            "{error:?}"
        );
        assert_eq!(at_fault(&error), (Fault::Request, "download-failed"));
    }
}

#[test]
fn a_redirect_never_leaves_the_web() {
    for (to, scheme) in [("file:///etc/passwd", "file"), ("ftp://127.0.0.1/a", "ftp"), ("data:,a", "data")] {
        let error = download(&anywhere(), &serve_one(redirect(to))).unwrap_err();
        let wanted = RedirectError::Scheme { scheme: scheme.to_owned() };
        assert!(matches!(&error, FetchError::Redirect { source, .. } if *source == wanted), "{error:?}");
        assert_eq!(at_fault(&error), (Fault::Request, "download-failed"));
    }
}

#[test]
fn what_the_server_refuses_is_a_failed_download_with_its_status() {
    let answers =
        ["404 Not Found", "403 Forbidden", "500 Internal Server Error", "302 Found", "304 Not Modified"];
    for answer in answers {
        let url = serve_one(format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n"));
        let error = download(&anywhere(), &url).unwrap_err();
        assert!(
            matches!(&error, FetchError::Status { url: named, .. } if named == url.as_str()),
            "{error:?}"
        );
        assert!(error.to_string().ends_with(&format!("status {}", &answer[..3])), "{error}");
        assert_eq!(at_fault(&error), (Fault::Request, "download-failed"));
    }
}

#[test]
fn what_is_no_answer_is_a_failed_download() {
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/a.zip", listener.local_addr().unwrap()).parse().unwrap()
    };
    let strange = ["", "220 mail.example.org ESMTP\r\n", "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n"];
    for url in strange.map(serve_one).into_iter().chain([nobody]) {
        let error = download(&anywhere(), &url).unwrap_err();
        assert!(matches!(&error, FetchError::Download { .. }), "{error:?}");
        assert_eq!(at_fault(&error), (Fault::Request, "download-failed"));
    }
}

#[test]
fn a_download_that_breaks_off_says_where() {
    let url = serve_one("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nseven b");
    let error = download(&anywhere(), &url).unwrap_err();
    assert!(matches!(&error, FetchError::BrokeOff { bytes: 7, .. }), "{error:?}");
    assert_eq!(at_fault(&error), (Fault::Request, "download-failed"));
}

#[test]
fn a_download_that_is_stopped_interrupts_the_run() {
    let dir = tempfile::tempdir().unwrap();
    for after in [0, 1] {
        let url = serve_one(found("ten bytes!"));
        let mut stop = |bytes| if bytes < after { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
        let error = anywhere().fetch(&url, &dir.path().join("target"), 10, &mut stop).unwrap_err();
        assert!(matches!(error.ends(Stage::Fetch), RunError::Interrupted));
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
    }
}

#[test]
fn a_target_that_cannot_be_written_is_not_the_fault_of_the_request() {
    let dir = tempfile::tempdir().unwrap();
    // Without a length, so that the disk is not asked before.
    let url = serve_one("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nbytes");
    let error = fetch_to(&anywhere(), &dir.path().join("no/folder"), &url).unwrap_err();
    assert!(matches!(error, FetchError::Write { .. }), "{error:?}");
    assert_eq!(error.fault(), Fault::Service);
    assert!(matches!(error.ends(Stage::Fetch), RunError::Failed { stage: Stage::Fetch, .. }));
}
