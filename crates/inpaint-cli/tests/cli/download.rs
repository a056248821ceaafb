//! Datasets from the web.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    process::Command,
    thread,
};

use crate::sandbox::{Sandbox, assert_rejected, bad_inputs, each, kinds, places};

/// Answers one request; gives the URL to ask. `status` may have headers after it.
fn serve(status: &'static str, body: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/data/clips.zip?signature=a%2Fb", listener.local_addr().unwrap());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let request = BufReader::new(stream.try_clone().unwrap()).lines();
        let first = request.map(Result::unwrap).take_while(|line| !line.is_empty()).next();
        assert_eq!(first.unwrap(), "GET /data/clips.zip?signature=a%2Fb HTTP/1.1");
        let head =
            format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&body).unwrap();
    });
    url
}

fn check(url: &str) -> (i32, serde_json::Value) {
    Sandbox::new().json(&["check", url, "--bucket", "32x32x9"])
}

#[test]
fn an_archive_is_downloaded() {
    let (code, answer) = check(&serve("200 OK", fs::read(bad_inputs("two-good-pairs.zip")).unwrap()));
    assert_eq!(code, 0, "{answer}");
    assert_eq!(each(&answer, "examples", "name"), ["good01", "good02"]);
}

#[test]
fn what_the_server_does_not_have_is_a_fault_of_the_request() {
    let found = check(&serve("404 Not Found", b"no such file".to_vec()));
    assert_rejected(&found);
    assert_eq!(
        (kinds(&found.1), places(&found.1)),
        (vec!["download-failed"], vec!["training_data_url".into()])
    );
    assert!(found.1["detail"][0]["msg"].as_str().unwrap().contains("404"), "{}", found.1);
}

#[test]
fn a_page_in_place_of_an_archive_is_no_zip() {
    let found = check(&serve("200 OK", b"<html>please log in</html>".to_vec()));
    assert_rejected(&found);
    assert_eq!(kinds(&found.1), ["not-a-zip"]);
}

#[test]
fn a_server_that_is_not_there_is_a_failed_download() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/a.zip", listener.local_addr().unwrap());
    drop(listener);
    let found = check(&url);
    assert_rejected(&found);
    assert_eq!(kinds(&found.1), ["download-failed"]);
}

#[test]
fn a_redirect_does_not_lead_to_a_file() {
    let found = check(&serve("302 Found\r\nLocation: file:///etc/hostname", Vec::new()));
    assert_rejected(&found);
    assert_eq!(kinds(&found.1), ["download-failed"]);
    assert!(found.1["detail"][0]["msg"].as_str().unwrap().contains("scheme `file`"), "{}", found.1);
}

#[test]
fn a_secret_in_a_url_is_not_repeated() {
    for json in [[].as_slice(), &["--json"]] {
        let url = serve("403 Forbidden", Vec::new()).replace("http://", "http://user:key@");
        let call = Sandbox::new().inpaint(&[&["check", &url, "--bucket", "32x32x9"], json].concat());
        assert_eq!(call.code, Some(2), "{call:?}");
        let said = format!("{}{}", call.stdout, call.stderr);
        assert!(said.contains("/data/clips.zip") && said.contains("403"), "{said}");
        assert!(!said.contains("user") && !said.contains("key") && !said.contains("signature"), "{said}");
    }
}

#[test]
fn a_proxy_in_the_environment_is_not_used() {
    let url = serve("200 OK", fs::read(bad_inputs("two-good-pairs.zip")).unwrap());
    let mut command = Command::new(env!("CARGO_BIN_EXE_inpaint"));
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env(name, "http://127.0.0.1:1");
    }
    let output = command.args(["check", &url, "--bucket", "32x32x9", "--json"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
