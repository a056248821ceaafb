//! Paths, where they may be read.

use super::*;

#[test]
fn a_file_stays_where_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.zip");
    fs::write(&path, "ten bytes!").unwrap();
    let target = dir.path().join("target");
    assert_eq!(fetch_to(&anywhere(), &target, &location(&path)).unwrap(), (path, Vec::new()));
    assert!(!target.exists());
}

#[test]
fn what_is_no_file_cannot_be_fetched() {
    let dir = tempfile::tempdir().unwrap();
    for path in [dir.path().join("nowhere.zip"), dir.path().to_owned()] {
        let error = fetch_to(&anywhere(), &dir.path().join("target"), &location(&path)).unwrap_err();
        assert!(matches!(&error, FetchError::Unreadable { path: named, .. } if *named == path), "{error:?}");
        assert_eq!(at_fault(&error), (Fault::Request, "download-failed"));
    }
}

#[cfg(unix)]
#[test]
fn a_pipe_is_refused_and_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe.zip");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let (done, wait) = mpsc::channel();
    let (target, pipe) = (dir.path().join("target"), location(&pipe));
    thread::spawn(move || done.send(fetch_to(&anywhere(), &target, &pipe).unwrap_err().kind()));
    assert_eq!(wait.recv_timeout(Duration::from_secs(10)), Ok("download-failed"));
}
