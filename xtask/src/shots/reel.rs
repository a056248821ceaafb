//! The reel in a browser: it is loaded, sought in and played to its end, and its middle is kept as a picture.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

use crate::command::Failure;

/// Longer than any reel of a few seconds takes, loading the browser included.
const PATIENCE: Duration = Duration::from_secs(60);

/// Says what became of the video, and hands over its middle. A canvas may be read only if page and video come from one
/// server.
const PAGE: &str = r#"<!DOCTYPE html><video muted preload="auto" src="/video.mp4"></video><script>
const video = document.querySelector("video");
const tell = (path, body) => fetch(path, { method: "POST", body });
const fail = (why) => tell("/failed", `${why}: ${video.error ? video.error.message : "no error"}`);
video.onerror = () => fail("it cannot be loaded");
video.onloadeddata = () => {
  video.onseeked = () => {
    video.onseeked = null;
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    canvas.getContext("2d").drawImage(video, 0, 0);
    canvas.toBlob(async (picture) => {
      await tell("/picture", picture);
      video.onended = () => tell("/played", `${canvas.width}x${canvas.height}, ${video.duration.toFixed(2)} s`);
      video.currentTime = 0;
      video.play().catch((error) => fail(`it cannot be played (${error})`));
    });
  };
  video.currentTime = video.duration / 2;
};
</script>"#;

/// What the browser says of the video.
enum Said {
    Picture(Vec<u8>),
    Played(String),
    Failed(String),
}

/// Plays the video at `reel` in `browser`; its middle becomes `picture`. Gives its size and length.
pub(crate) fn play(browser: &str, reel: &Path, picture: &Path) -> Result<String, Failure> {
    let failed = |what: &str, error: std::io::Error| Failure::new(format!("cannot {what}: {error}"));
    let video = fs::read(reel).map_err(|error| failed("read the reel", error))?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(|error| failed("listen", error))?;
    let address = listener.local_addr().map_err(|error| failed("listen", error))?;
    let (said, heard) = mpsc::channel();
    // It ends with the process.
    std::thread::spawn(move || serve(&listener, &video, &said));
    let profile = picture.with_extension("profile");
    let mut command = Command::new(browser);
    command.args(super::QUIETLY).arg("--autoplay-policy=no-user-gesture-required");
    // With a port for a debugger it stays open until it is ended.
    command.arg("--remote-debugging-port=0").arg(format!("--user-data-dir={}", profile.display()));
    command.arg(format!("http://{address}/")).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| failed("start the browser", error))?;
    let result = loop {
        match heard.recv_timeout(PATIENCE) {
            Ok(Said::Picture(png)) => {
                fs::write(picture, png).map_err(|error| failed("write a picture", error))?;
            }
            Ok(Said::Played(how)) => break Ok(how),
            Ok(Said::Failed(why)) => break Err(Failure::new(format!("the reel does not play: {why}"))),
            Err(_) => break Err(Failure::new("the browser says nothing of the reel".to_owned())),
        }
    };
    // It may have ended by itself, and what is left of its profile hurts nobody.
    let _ = child.kill().and_then(|()| child.wait());
    let _ = fs::remove_dir_all(profile);
    result
}

fn serve(listener: &TcpListener, video: &[u8], said: &Sender<Said>) {
    std::thread::scope(|scope| {
        for stream in listener.incoming().flatten() {
            // A connection that breaks off is the browser's business.
            scope.spawn(move || answer(&stream, video, said));
        }
    });
}

/// Answers one request. A server in six lines would not do: browsers seek by asking for parts.
fn answer(mut stream: &TcpStream, video: &[u8], said: &Sender<Said>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let (mut line, mut length, mut range) = (String::new(), 0, None);
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap_or(0),
            "range" => range = part(value, video.len()),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let text = |body: Vec<u8>| String::from_utf8_lossy(&body).into_owned();
    // Whoever listened may have heard enough.
    let _ = match path.as_str() {
        "/picture" => said.send(Said::Picture(body)),
        "/played" => said.send(Said::Played(text(body))),
        "/failed" => said.send(Said::Failed(text(body))),
        _ => Ok(()),
    };
    let (status, kind, content) = match (path.as_str(), range) {
        ("/", _) => ("200 OK".to_owned(), "text/html", PAGE.as_bytes()),
        ("/video.mp4", Some((start, end))) => {
            let status = format!(
                "206 Partial Content\r\nContent-Range: bytes {start}-{}/{}",
                end.saturating_sub(1),
                video.len()
            );
            (status, "video/mp4", &video[start..end])
        }
        ("/video.mp4", None) => ("200 OK".to_owned(), "video/mp4", video),
        _ => ("404 Not Found".to_owned(), "text/plain", &[][..]),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nAccept-Ranges: bytes\r\nConnection: close\r\n\r\n",
        content.len()
    )?;
    stream.write_all(content)
}

/// The bytes that `bytes=START-` or `bytes=START-LAST` asks for, the end exclusive.
fn part(value: &str, length: usize) -> Option<(usize, usize)> {
    let (start, last) = value.strip_prefix("bytes=")?.split_once('-')?;
    let start = start.parse::<usize>().ok()?;
    let end = if last.is_empty() { length } else { last.parse::<usize>().ok()?.checked_add(1)?.min(length) };
    (start < end).then_some((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_those_of_the_file() {
        assert_eq!(part("bytes=0-", 9), Some((0, 9)));
        assert_eq!(part("bytes=3-5", 9), Some((3, 6)));
        assert_eq!(part("bytes=3-99", 9), Some((3, 9)));
        for none in ["bytes=9-", "bytes=5-3", "bytes=-4", "lines=0-", "bytes=a-b"] {
            assert_eq!(part(none, 9), None, "{none}");
        }
    }
}
