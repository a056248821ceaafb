//! The sample archives of the whole project: each is right as far as this crate decides.

use std::{collections::BTreeSet, fs, path::PathBuf};

use dataset_zip::Limits;
use serde_json::Value;
use tensor_batch::Blame;

use crate::unpack;

/// Faults that need no look at pixels.
const DECIDED_HERE: [&str; 4] = ["missing-mask", "duplicate-name", "unsafe-path", "corrupt-entry"];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/bad-inputs")
}

fn stems(case: &Value, field: &str) -> BTreeSet<String> {
    case[field].as_array().into_iter().flatten().map(|stem| stem.as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_sample_archive_is_accepted_or_rejected_as_its_manifest_says() {
    let manifest: Value = serde_json::from_slice(&fs::read(folder().join("manifest.json")).unwrap()).unwrap();
    let cases = manifest["cases"].as_array().unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        let file = case["file"].as_str().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let found = unpack(fs::read(folder().join(file)).unwrap(), &Limits::default(), dir.path());
        match case["reason"].as_str().filter(|reason| DECIDED_HERE.contains(reason)) {
            Some(reason) => {
                let rejected = found.expect_err(file);
                assert_eq!(rejected.faults().map(Blame::kind).collect::<Vec<_>>(), [reason], "{file}");
            }
            None => {
                let found: BTreeSet<String> =
                    found.expect(file).into_iter().map(|example| example.stem.to_string()).collect();
                let wanted = &stems(case, "examples") | &stems(case, "dropped");
                assert!(wanted.is_empty() || found == wanted, "{file}: {found:?}");
            }
        }
    }
}

#[test]
fn a_member_that_lies_about_its_size_leaves_no_more_than_that_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = fs::read(folder().join("inflate-lie.zip")).unwrap();
    unpack(bytes, &Limits::default(), dir.path()).unwrap_err();
    let on_disk: u64 =
        fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(on_disk < 1 << 20, "{on_disk}");
}
