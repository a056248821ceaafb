//! `cargo xtask shots REPORT.html [DIR]`: pictures of a report as people see it, at the widths of a desk and of a phone, in
//! light and in dark. They are made to be looked at; nothing here judges them. A reel that lies beside the report is played,
//! too, and one picture of it kept; that it plays is checked.

mod reel;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::command::{Failure, run};

const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// A name, and width and height in pixels.
const SIZES: [(&str, u32, u32); 2] = [("desktop", 1280, 5600), ("phone", 390, 10_000)];

/// Without a window, and without a word to anyone.
const QUIETLY: [&str; 8] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// A name, and what the browser calls it.
const THEMES: [(&str, u32); 2] = [("light", 1), ("dark", 0)];

pub(crate) fn shots(args: &[OsString]) -> Result<(), Failure> {
    let (report, folder) = match args {
        [report] => (Path::new(report), PathBuf::from("shots")),
        [report, folder] => (Path::new(report), PathBuf::from(folder)),
        _ => return Err(Failure::usage("cargo xtask shots REPORT.html [DIR]".to_owned())),
    };
    let report = fs::canonicalize(report)
        .map_err(|error| Failure::new(format!("cannot find {}: {error}", report.display())))?;
    let folder = fs::create_dir_all(&folder).and_then(|()| fs::canonicalize(&folder));
    let folder =
        folder.map_err(|error| Failure::new(format!("cannot make the folder of pictures: {error}")))?;
    let browser = browser()?;
    for (size, width, height) in SIZES {
        // A window may be no narrower than some 500 pixels; a frame may.
        let frame = folder.join(format!("{size}.html"));
        fs::write(&frame, wrapper(&report, width, height))
            .map_err(|error| Failure::new(format!("cannot write {}: {error}", frame.display())))?;
        for (theme, number) in THEMES {
            let picture = folder.join(format!("{size}-{theme}.png"));
            run(shot(browser, &frame, &picture, [width, height], number))?;
            println!("{}", picture.display());
        }
        // What is left behind hurts nobody.
        let _ = fs::remove_file(frame);
    }
    let reel = report.with_file_name("validation.mp4");
    if reel.is_file() {
        let picture = folder.join("reel.png");
        let how = reel::play(browser, &reel, &picture)?;
        println!("{}: the middle of the reel, which plays ({how})", picture.display());
    }
    Ok(())
}

fn browser() -> Result<&'static str, Failure> {
    let answers = |name: &&str| {
        let mut command = Command::new(name);
        command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let wanted = BROWSERS.join(", ");
    BROWSERS
        .into_iter()
        .find(answers)
        .ok_or_else(|| Failure::new(format!("no browser was found: one of {wanted}")))
}

fn wrapper(report: &Path, width: u32, height: u32) -> String {
    format!(
        "<!DOCTYPE html><style>body{{margin:0}}iframe{{border:0;display:block}}</style>\
         <iframe src=\"{}\" width=\"{width}\" height=\"{height}\"></iframe>",
        url(report)
    )
}

/// A file URL; whatever may not stand in one is escaped.
fn url(path: &Path) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    let letter = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    let path: String = path.to_string_lossy().bytes().map(letter).collect();
    format!("file://{path}")
}

fn shot(browser: &str, page: &Path, picture: &Path, [width, height]: [u32; 2], theme: u32) -> Command {
    let mut command = Command::new(browser);
    command.args(QUIETLY);
    command.arg(format!("--blink-settings=preferredColorScheme={theme}"));
    command.arg(format!("--window-size={width},{height}"));
    command.arg(format!("--screenshot={}", picture.display()));
    command.arg(url(page)).stderr(Stdio::null());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_becomes_a_url_without_raw_spaces_and_quotes() {
        assert_eq!(url(Path::new("/a b/\"ü.html")), "file:///a%20b/%22%C3%BC.html");
    }
}
