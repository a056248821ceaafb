use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::mpsc::{self, Receiver},
    thread,
};

use tensor_batch::{Blame, Fault};

use super::*;
use crate::{RunError, Stage};

mod files;
mod limits;
mod reach;
mod secrets;
mod web;

/// Serves `answers` one after another, each as it is, on connections of their own; gives the URL, and the heads of
/// the requests as they come.
fn serve(answers: Vec<String>) -> (Location, Receiver<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/a.zip", listener.local_addr().unwrap());
    let (heads, seen) = mpsc::channel();
    thread::spawn(move || {
        for answer in answers {
            let stream = listener.accept().unwrap().0;
            // Whoever does not want to know has hung up.
            let _ = heads.send(head(&stream));
            send(stream, &answer);
        }
    });
    (url.parse().unwrap(), seen)
}

/// The first lines of a request.
fn head(stream: &TcpStream) -> Vec<String> {
    let lines = BufReader::new(stream.try_clone().unwrap()).lines();
    lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect()
}

fn send(mut stream: TcpStream, answer: &str) {
    // Whoever has enough hangs up.
    let _ = stream.write_all(answer.as_bytes());
    let _ = stream.shutdown(Shutdown::Write);
}

/// Serves one answer at `http://127.0.0.1:PORT/a.zip`.
fn serve_one(answer: impl Into<String>) -> Location {
    serve(vec![answer.into()]).0
}

/// A server that answers `head` and then keeps the connection without a word.
fn serve_and_fall_silent(head: &'static str) -> Location {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/a.zip", listener.local_addr().unwrap());
    thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        stream.write_all(head.as_bytes()).unwrap();
        // Until the other side has gone.
        while stream.read(&mut [0; 1024]).is_ok_and(|read| read > 0) {}
    });
    url.parse().unwrap()
}

/// A whole answer with `body`.
fn found(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

fn redirect(to: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

fn location(path: &Path) -> Location {
    path.to_str().unwrap().parse().unwrap()
}

fn anywhere() -> Fetcher {
    Fetcher { reach: Reach::Anywhere, redirects: 1, ..Fetcher::default() }
}

/// Fetches at most 10 bytes to `target`; gives the file's place and what `progress` was told.
fn fetch_to(
    fetcher: &Fetcher,
    target: &Path,
    location: &Location,
) -> Result<(PathBuf, Vec<u64>), FetchError> {
    let mut told = Vec::new();
    let mut progress = |bytes| {
        told.push(bytes);
        ControlFlow::Continue(())
    };
    let path = fetcher.fetch(location, target, 10, &mut progress)?;
    Ok((path, told))
}

/// Downloads at most 10 bytes; gives them. Of a download that fails nothing is left.
fn download(fetcher: &Fetcher, location: &Location) -> Result<String, FetchError> {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("target");
    let fetched = fetch_to(fetcher, &target, location);
    let left = fs::read_dir(&dir).unwrap().count();
    assert_eq!(left, usize::from(fetched.is_ok()), "{fetched:?}");
    let (path, told) = fetched?;
    assert_eq!(path, target);
    let text = fs::read_to_string(target).unwrap();
    assert_eq!(told.last(), Some(&(text.len() as u64)));
    Ok(text)
}

/// The end of a run in which fetching failed like this.
fn at_fault(error: &FetchError) -> (Fault, &'static str) {
    (error.fault(), error.kind())
}

/// An error with its causes, as people read it and as programs log it.
fn in_words(error: &FetchError) -> String {
    let mut text = format!("{error:?}: {error}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
