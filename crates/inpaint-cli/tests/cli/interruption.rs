//! Ctrl-C.

use std::{
    fs,
    io::Write,
    net::TcpListener,
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use crate::sandbox::{Sandbox, each};

/// Waits until the training has done some steps.
pub(crate) fn wait_for_steps(sandbox: &Sandbox, child: &mut Child) {
    let deadline = Instant::now() + Duration::from_secs(120);
    let steps = || fs::read_to_string(sandbox.path("out/metrics.jsonl")).unwrap_or_default().lines().count();
    while steps() < 5 {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it was interrupted");
        assert!(Instant::now() < deadline, "there are no steps");
        thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn interrupt(child: &Child) {
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
}

#[test]
fn an_interrupted_training_ends_after_its_step_and_costs_nothing() {
    let sandbox = Sandbox::new();
    let args =
        ["train", "--bucket", "32x32x9", "--set", "number_of_steps=20000", "--set", "rank=8", "--json"];
    let mut child = sandbox.start(&args);
    wait_for_steps(&sandbox, &mut child);
    let asked = Instant::now();
    interrupt(&child);
    let call = sandbox.finish(child);
    assert!(asked.elapsed() < Duration::from_secs(20), "it took {:?} to stop", asked.elapsed());
    assert_eq!(call.code, Some(130), "{call:?}");
    let answer = call.answer();
    assert_eq!((&answer["outcome"], &answer["billable_units"]), (&"interrupted".into(), &0.into()));
    assert_eq!(answer["estimated_units"], 20_000);
    assert!(answer.get("files").is_none() && each(&answer, "detail", "msg").is_empty(), "{answer}");
    assert!(!sandbox.path("out/lora.safetensors").exists());
    assert!(!sandbox.path("out/outcome.json").exists());
}

/// Serves an archive of a gigabyte, a few bytes at a time, until nobody listens; gives the URL.
fn serve_slowly() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/a.zip", listener.local_addr().unwrap());
    thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut sent = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n");
        while sent.is_ok() {
            thread::sleep(Duration::from_millis(20));
            sent = stream.write_all(b"PK\x03\x04");
        }
    });
    url
}

/// Waits until bytes of the archive have come.
fn wait_for_bytes(sandbox: &Sandbox) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let has_bytes = |folder: &String| {
        let files = fs::read_dir(sandbox.path(folder)).into_iter().flatten().flatten();
        files.map(|file| file.metadata().map_or(0, |file| file.len())).any(|bytes| bytes > 0)
    };
    while !sandbox.entries().iter().any(has_bytes) {
        assert!(Instant::now() < deadline, "nothing was downloaded");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_interrupted_download_ends() {
    let sandbox = Sandbox::new();
    let child = sandbox.start(&["check", &serve_slowly(), "--json"]);
    wait_for_bytes(&sandbox);
    interrupt(&child);
    let call = sandbox.finish(child);
    assert_eq!((call.code, &call.answer()["outcome"]), (Some(130), &"interrupted".into()), "{call:?}");
    assert_eq!(sandbox.entries(), Vec::<String>::new());
}
