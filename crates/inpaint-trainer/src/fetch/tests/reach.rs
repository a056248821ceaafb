//! What may be reached: addresses are judged before anything is sent to them.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use ureq::{
    Error,
    config::Config,
    http::Uri,
    unversioned::{
        resolver::{ResolvedSocketAddrs, Resolver},
        transport::NextTimeout,
    },
};

use super::*;

/// A listener that nobody may connect to.
struct Trap(TcpListener);

impl Trap {
    fn new(address: &str) -> Self {
        let listener = TcpListener::bind((address, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    fn assert_untouched(&self) {
        let tried = self.0.accept();
        assert!(tried.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock), "it was connected to");
    }
}

fn assert_not_public(fetched: Result<String, FetchError>, what: &str) {
    let error = fetched.unwrap_err();
    assert!(matches!(error, FetchError::NotPublic { .. }), "{what}: {error:?}");
    assert_eq!(at_fault(&error), (Fault::Request, "not-allowed"), "{what}");
}

/// Downloads where only some addresses may be dialled, and hosts are found as `lookup` says.
fn download_by(
    may_dial: fn(IpAddr) -> bool,
    lookup: impl Resolver,
    location: &Location,
) -> Result<String, FetchError> {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("target");
    let fetcher = Fetcher::default();
    let agent = dial::agent(&fetcher, dial::Guard { may_dial, lookup });
    let download = download::Download { agent, fetcher: &fetcher, location, limit: 10 };
    download.run(&target, &mut |_| ControlFlow::Continue(()))?;
    Ok(fs::read_to_string(target).unwrap())
}

fn is_first_loopback(address: IpAddr) -> bool {
    address == IpAddr::from([127, 0, 0, 1])
}

#[test]
fn a_service_reaches_no_address_of_its_own() {
    let hosts = [
        "127.0.0.1",
        "0.0.0.0",
        "localhost",
        "LOCALHOST",
        "user:key@127.0.0.1",
        "8.8.8.8@127.0.0.1",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[64:ff9b:1::127.0.0.1]",
        "[2002:7f00:1::]",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "10.0.0.1",
        "192.168.0.1",
        "100.64.0.1",
    ];
    assert_unreachable(&hosts);
}

/// What a system does not take for an address is a name that is not found.
#[cfg(target_os = "linux")]
#[test]
fn a_number_is_judged_as_the_address_that_the_system_takes_it_for() {
    assert_unreachable(&[
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "017700000001",
        "0",
    ]);
}

fn assert_unreachable(hosts: &[&str]) {
    let trap = Trap::new("127.0.0.1");
    for host in hosts {
        let url = format!("http://{host}:{}/a.zip", trap.port()).parse().unwrap();
        assert_not_public(download(&Fetcher::default(), &url), host);
    }
    trap.assert_untouched();
}

#[test]
fn a_service_reads_no_file_and_does_not_say_whether_it_exists() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.zip");
    fs::write(&path, "ten bytes!").unwrap();
    let path = path.to_str().unwrap();
    let [one, other] = [path, "/nowhere/b.zip"].map(|path| {
        let url = format!("file://{path}");
        let errors =
            [path, &url].map(|text| download(&Fetcher::default(), &text.parse().unwrap()).unwrap_err());
        errors.iter().for_each(|error| assert_eq!(at_fault(error), (Fault::Request, "not-allowed")));
        errors.map(|error| in_words(&error))
    });
    assert_eq!(one, other);
}

#[cfg(target_os = "linux")]
#[test]
fn the_address_after_a_redirect_is_judged_too() {
    let trap = Trap::new("127.0.0.2");
    let (url, heads) = serve(vec![redirect(&format!("http://127.0.0.2:{}/secret", trap.port()))]);
    let fetched = download_by(is_first_loopback, DefaultResolver::default(), &url);
    assert_not_public(fetched, "the second host");
    assert_eq!(heads.iter().count(), 1, "the first host was asked");
    trap.assert_untouched();
}

/// Finds the same addresses for every host, and others each time it is asked.
#[derive(Debug)]
struct Fickle {
    answers: Vec<Vec<SocketAddr>>,
    asked: Arc<AtomicUsize>,
}

impl Resolver for Fickle {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        let mut found = self.empty();
        self.answers[asked].iter().for_each(|address| found.push(*address));
        Ok(found)
    }
}

fn address(host: [u8; 4], port: u16) -> SocketAddr {
    (host, port).into()
}

fn port(url: &Location) -> u16 {
    url.as_str().rsplit_once("/a.zip").unwrap().0.rsplit_once(':').unwrap().1.parse().unwrap()
}

#[test]
fn a_host_with_one_bad_address_among_good_ones_is_refused() {
    let trap = Trap::new("127.0.0.1");
    let good = address([127, 0, 0, 1], trap.port());
    for answer in [vec![good, address([10, 0, 0, 1], 80)], vec![address([127, 0, 0, 2], 80), good]] {
        let lookup = Fickle { answers: vec![answer], asked: Arc::default() };
        let fetched = download_by(is_first_loopback, lookup, &"http://example.org/a.zip".parse().unwrap());
        assert_not_public(fetched, "a mixed host");
    }
    trap.assert_untouched();
}

/// A name server that gives a good address to whoever asks first, and a bad one to whoever asks again.
#[test]
fn what_was_judged_is_what_is_connected_to() {
    let bad = vec![address([127, 0, 0, 2], 80)];
    let (url, _heads) = serve(vec![found("there")]);
    let asked = Arc::new(AtomicUsize::new(0));
    let answers = vec![vec![address([127, 0, 0, 1], port(&url))], bad.clone()];
    let lookup = Fickle { answers, asked: asked.clone() };
    let named = "http://example.org/a.zip".parse().unwrap();
    assert_eq!(download_by(is_first_loopback, lookup, &named).unwrap(), "there");
    assert_eq!(asked.load(Ordering::Relaxed), 1);

    let (url, _heads) = serve(vec![redirect("http://example.org/b.zip"), found("there")]);
    let answers = vec![vec![address([127, 0, 0, 1], port(&url))], bad];
    let lookup = Fickle { answers, asked: Arc::default() };
    assert_not_public(download_by(is_first_loopback, lookup, &named), "the same host, asked again");
}

#[test]
fn a_scheme_may_be_written_in_capitals() {
    let url = serve_one(found("there"));
    let url = url.as_str().replace("http", "HTTP").parse().unwrap();
    assert_eq!(download(&anywhere(), &url).unwrap(), "there");
    assert_not_public(download(&Fetcher::default(), &url), "in capitals");
}
