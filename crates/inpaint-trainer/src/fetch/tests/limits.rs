//! Bytes, time and room on the disk.

use super::*;

fn assert_too_large(fetched: Result<(PathBuf, Vec<u64>), FetchError>, location: &Location) {
    let error = fetched.unwrap_err();
    let named = |named: &str| named == location.as_str();
    assert!(matches!(&error, FetchError::TooLarge { location, limit: 10 } if named(location)), "{error:?}");
    assert_eq!(at_fault(&error), (Fault::Request, "too-large"));
}

#[test]
fn what_is_larger_than_the_limit_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.zip");
    fs::write(&path, "eleven byte").unwrap();
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\neleven byte\r\n0\r\n\r\n";
    let until_closed = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\neleven byte";
    let served = [chunked, until_closed].map(serve_one);
    for location in [[location(&path)].as_slice(), &served].concat() {
        assert_too_large(fetch_to(&anywhere(), &dir.path().join("target"), &location), &location);
    }
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "nothing but the file");
}

#[test]
fn what_is_said_to_be_larger_than_the_limit_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let location = serve_and_fall_silent("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n");
    assert_too_large(fetch_to(&anywhere(), &dir.path().join("target"), &location), &location);
}

#[test]
fn what_has_no_room_on_the_disk_is_not_waited_for_and_no_fault_of_the_request() {
    let dir = tempfile::tempdir().unwrap();
    // 4 EiB.
    let url = serve_and_fall_silent("HTTP/1.1 200 OK\r\nContent-Length: 4611686018427387904\r\n\r\n");
    let mut go_on = |_| ControlFlow::Continue(());
    let error = anywhere().fetch(&url, &dir.path().join("target"), u64::MAX, &mut go_on).unwrap_err();
    assert!(matches!(&error, FetchError::NoRoom { .. }), "{error:?}");
    assert_eq!(at_fault(&error), (Fault::Service, "disk-full"));
    assert!(matches!(error.ends(Stage::Fetch), RunError::Failed { stage: Stage::Fetch, .. }));
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    let silence = Duration::from_millis(50);
    for head in ["", "HTTP/1.1 200 OK\r\nContent-", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nseven b"] {
        let fetcher = Fetcher { silence, ..anywhere() };
        let error = download(&fetcher, &serve_and_fall_silent(head)).unwrap_err();
        assert!(
            matches!(&error, FetchError::Silent { silence: named, .. } if *named == silence),
            "{error:?}"
        );
        assert_eq!(at_fault(&error), (Fault::Request, "download-failed"));

        let fetcher = Fetcher { time: silence, ..anywhere() };
        let error = download(&fetcher, &serve_and_fall_silent(head)).unwrap_err();
        assert!(matches!(&error, FetchError::TooSlow { time, .. } if *time == silence), "{error:?}");
        assert_eq!(at_fault(&error), (Fault::Request, "download-failed"));
    }
}

/// Every byte is sent when the one before it has come, so that the download never pauses and never ends.
#[test]
fn a_server_that_drips_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/a.zip", listener.local_addr().unwrap()).parse().unwrap();
    let (more, wanted) = mpsc::channel();
    thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        head(&stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").unwrap();
        wanted.iter().try_for_each(|()| stream.write_all(b"a"))
    });
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = 0;
    let mut progress = |told| {
        bytes = told;
        // The server may have been hung up on.
        let _ = more.send(());
        ControlFlow::Continue(())
    };
    let fetcher = Fetcher { time: Duration::from_millis(500), ..anywhere() };
    let error = fetcher.fetch(&url, &dir.path().join("target"), u64::MAX, &mut progress).unwrap_err();
    assert!(matches!(&error, FetchError::TooSlow { .. }), "{error:?}");
    assert!(bytes > 1, "it dripped");
}

#[test]
fn redirects_share_one_time() {
    let round = serve(vec![redirect("/a.zip"); 20_000]).0;
    let fetcher = Fetcher { time: Duration::from_millis(100), redirects: u32::MAX, ..anywhere() };
    let error = download(&fetcher, &round).unwrap_err();
    assert!(matches!(&error, FetchError::TooSlow { .. }), "{error:?}");
}

#[test]
fn limits_of_time_may_be_as_long_as_one_likes() {
    let fetcher = Fetcher { time: Duration::MAX, silence: Duration::MAX, ..anywhere() };
    assert_eq!(download(&fetcher, &serve_one(found("there"))).unwrap(), "there");
}
