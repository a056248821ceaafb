use std::{
    io::{BufRead, BufReader},
    net::{Shutdown, TcpListener, TcpStream},
    thread,
};

use super::*;

/// Serves `answers` one after another, each as it is, on connections of their own; gives the URL.
fn serve(answers: Vec<String>) -> Location {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/a.zip", listener.local_addr().unwrap());
    thread::spawn(move || answers.iter().for_each(|answer| serve_one(listener.accept().unwrap().0, answer)));
    url.parse().unwrap()
}

fn serve_one(mut stream: TcpStream, answer: &str) {
    let request = BufReader::new(stream.try_clone().unwrap()).lines();
    request.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
    // Whoever has enough hangs up.
    let _ = stream.write_all(answer.as_bytes());
    let _ = stream.shutdown(Shutdown::Write);
}

/// A whole answer with `body`.
fn found(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

fn location(path: &Path) -> Location {
    path.to_str().unwrap().parse().unwrap()
}

/// Fetches at most 10 bytes to `target`; gives the file's content and what `progress` was told.
fn fetch_to(target: &Path, location: &Location) -> Result<(PathBuf, Vec<u64>), FetchError> {
    let mut told = Vec::new();
    let mut progress = |bytes| {
        told.push(bytes);
        ControlFlow::Continue(())
    };
    let limits = Limits { redirects: 1, ..Limits::default() };
    let path = fetch(location, target, 10, &limits, &mut progress)?;
    Ok((path, told))
}

fn fetch_web(location: &Location) -> Result<String, FetchError> {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("target");
    let (path, told) = fetch_to(&target, location)?;
    assert_eq!(path, target);
    let text = fs::read_to_string(target).unwrap();
    assert_eq!(told.last(), Some(&(text.len() as u64)));
    Ok(text)
}

#[test]
fn a_file_stays_where_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.zip");
    fs::write(&path, "ten bytes!").unwrap();
    let target = dir.path().join("target");
    assert_eq!(fetch_to(&target, &location(&path)).unwrap(), (path, Vec::new()));
    assert!(!target.exists());
}

#[test]
fn what_is_no_file_cannot_be_fetched() {
    let dir = tempfile::tempdir().unwrap();
    for path in [dir.path().join("nowhere.zip"), dir.path().to_owned()] {
        let error = fetch_to(&dir.path().join("target"), &location(&path)).unwrap_err();
        assert!(matches!(&error, FetchError::Unreadable { path: named, .. } if *named == path), "{error:?}");
        assert_eq!((error.fault(), error.kind()), (Fault::Request, "download-failed"));
    }
}

#[cfg(unix)]
#[test]
fn a_pipe_is_refused_and_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe.zip");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let (done, wait) = std::sync::mpsc::channel();
    let (target, pipe) = (dir.path().join("target"), location(&pipe));
    thread::spawn(move || done.send(fetch_to(&target, &pipe).unwrap_err().kind()));
    assert_eq!(wait.recv_timeout(std::time::Duration::from_secs(10)), Ok("download-failed"));
}

#[test]
fn what_is_larger_than_the_limit_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.zip");
    fs::write(&path, "eleven byte").unwrap();
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\neleven byte\r\n0\r\n\r\n";
    let served = [found("eleven byte"), chunked.to_owned()].map(|answer| serve(vec![answer]));
    for location in [[location(&path)].as_slice(), &served].concat() {
        let error = fetch_to(&dir.path().join("target"), &location).unwrap_err();
        assert!(
            matches!(&error, FetchError::TooLarge { location: named, limit: 10 } if named == location.as_str()),
            "{error:?}"
        );
        assert_eq!((error.fault(), error.kind()), (Fault::Request, "too-large"));
    }
}

#[test]
fn a_download_is_kept_and_its_bytes_are_told() {
    assert_eq!(fetch_web(&serve(vec![found("ten bytes!")])).unwrap(), "ten bytes!");
}

#[test]
fn redirects_are_followed_as_far_as_allowed() {
    let elsewhere =
        "HTTP/1.1 302 Found\r\nLocation: /b.zip\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let once = serve(vec![elsewhere.to_owned(), found("there")]);
    assert_eq!(fetch_web(&once).unwrap(), "there");
    let twice = serve(vec![elsewhere.to_owned(), elsewhere.to_owned(), found("there")]);
    assert!(matches!(fetch_web(&twice), Err(FetchError::Download { .. })));
}

#[test]
fn what_the_server_refuses_is_a_failed_download() {
    for status in ["404 Not Found", "403 Forbidden", "500 Internal Server Error"] {
        let url = serve(vec![format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")]);
        let error = fetch_web(&url).unwrap_err();
        assert!(
            matches!(&error, FetchError::Download { url: named, .. } if named == url.as_str()),
            "{error:?}"
        );
        assert_eq!((error.fault(), error.kind()), (Fault::Request, "download-failed"));
    }
}

#[test]
fn a_download_that_breaks_off_says_where() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nseven b".to_owned();
    let error = fetch_web(&serve(vec![answer])).unwrap_err();
    assert!(matches!(&error, FetchError::BrokeOff { bytes: 7, .. }), "{error:?}");
    assert_eq!((error.fault(), error.kind()), (Fault::Request, "download-failed"));
}

#[test]
fn a_download_that_is_stopped_interrupts_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let url = serve(vec![found("ten bytes!")]);
    let mut stop = |_| ControlFlow::Break(());
    let error = fetch(&url, &dir.path().join("target"), 10, &Limits::default(), &mut stop).unwrap_err();
    assert!(matches!(error.ends(Stage::Fetch), RunError::Interrupted));
}

#[test]
fn a_target_that_cannot_be_written_is_not_the_fault_of_the_request() {
    let dir = tempfile::tempdir().unwrap();
    let error = fetch_to(&dir.path().join("no/folder"), &serve(vec![found("bytes")])).unwrap_err();
    assert!(matches!(error, FetchError::Write { .. }), "{error:?}");
    assert_eq!(error.fault(), Fault::Service);
    assert!(matches!(error.ends(Stage::Fetch), RunError::Failed { stage: Stage::Fetch, .. }));
}
