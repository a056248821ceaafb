//! The fitted data, for the user to look at.

use std::io::{Cursor, Read};

use zip::ZipArchive;

use crate::sandbox::{Sandbox, each};

#[test]
fn the_fitted_data_are_clips_masks_and_captions_that_can_be_used_again() {
    let sandbox = Sandbox::new();
    let args = ["train", "--bucket", "64x64x9", "--set", "rank=8", "--set", "debug_dataset=true"];
    let (code, answer) = sandbox.json(&args);
    assert_eq!(code, 0, "{answer}");
    let file = &answer["files"]["debug_dataset"];
    let bytes = sandbox.read("out/debug_dataset.zip");
    assert_eq!((&file["file_name"], &file["file_size"]), (&"debug_dataset.zip".into(), &bytes.len().into()));

    let mut zip = ZipArchive::new(Cursor::new(bytes)).unwrap();
    let mut content = |name: &str| {
        let mut bytes = Vec::new();
        zip.by_name(name).unwrap_or_else(|e| panic!("{name}: {e}")).read_to_end(&mut bytes).unwrap();
        bytes
    };
    let mut again = Vec::new();
    for (index, name) in each(&answer, "examples", "name").into_iter().enumerate() {
        let mut take = |what: &str| content(&format!("{index:04}-{name}/{what}"));
        let png = take("latent_mask.png");
        // Two latent frames of 2x2 cells, 16 pixels a cell and 8 after a frame.
        assert_eq!(png[..8], *b"\x89PNG\r\n\x1a\n");
        assert_eq!(png[16..24], [0, 0, 0, 80, 0, 0, 0, 32]);
        again.push((format!("{name}.mp4"), take("clip.mp4")));
        again.push((format!("{name}_mask.mp4"), take("mask.mp4")));
        again.push((format!("{name}-cells.mp4"), take("clip.mp4")));
        again.push((format!("{name}-cells_mask.png"), png));
        if name != "box-portrait" {
            again.push((format!("{name}.txt"), take("caption.txt")));
        }
    }
    assert_eq!(zip.len(), 4 * 4 - 1, "one example has no caption");
    check_again(&sandbox, &again, &answer);
}

/// Makes a dataset of what was fitted: it fits as it is.
fn check_again(sandbox: &Sandbox, files: &[(String, Vec<u8>)], first: &serde_json::Value) {
    let files: Vec<(&str, Vec<u8>)> =
        files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    sandbox.archive_of("again.zip", &files);
    let (code, answer) = sandbox.json(&["check", "again.zip", "--bucket", "64x64x9"]);
    assert_eq!((code, each(&answer, "examples", "name").len()), (0, 8), "{answer}");
    for example in first["examples"].as_array().unwrap() {
        let same = |other: &&serde_json::Value| other["name"] == example["name"];
        let again = answer["examples"].as_array().unwrap().iter().find(same).unwrap();
        assert_eq!(
            (&again["source_frames"], &again["source_size"]),
            (&9.into(), &serde_json::json!([64, 64]))
        );
        assert_eq!(again["caption"], example["caption"]);
        assert_eq!(again["frame_rate"], example["frame_rate"]);
        let coverage = |example: &serde_json::Value| example["mask_coverage"].as_f64().unwrap();
        assert!((coverage(again) - coverage(example)).abs() < 0.02, "{again} {example}");
    }
}
