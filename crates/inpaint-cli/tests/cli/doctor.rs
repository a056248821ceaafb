//! What a check says of a dataset before anyone pays for a run.

use image::GenericImageView;
use serde_json::json;

use crate::sandbox::{Sandbox, assets, each};

#[test]
fn a_dataset_is_examined_as_a_whole() {
    let demo = assets("demo/demo.zip");
    let sandbox = Sandbox::new();
    let args = ["check", &demo, "--bucket", "256x256x9", "--set", "trigger_phrase=rabbit"];
    let (code, answer) =
        sandbox.json(&[&args[..], &["--set", "number_of_steps=1000", "--set", "accumulation=2"]].concat());
    assert_eq!((code, &answer["passes"]), (0, &json!(500.0)), "{answer}");
    let about: Vec<_> =
        answer["warnings"].as_array().unwrap().iter().filter(|w| w["name"] == "dataset").collect();
    let kinds: Vec<_> = about.iter().map(|warning| warning["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["few-examples", "captions-missing", "trigger-in-captions"], "{answer}");
    assert!(about[1]["message"].as_str().unwrap().contains("`box-portrait`"), "{}", about[1]);
    assert!(about[2]["message"].as_str().unwrap().contains("`bunny-wave`"), "{}", about[2]);
}

#[test]
fn an_example_shows_its_own_warnings_and_measures() {
    let (_, answer) = Sandbox::new().json(&["check", &assets("demo/demo.zip"), "--bucket", "256x256x9"]);
    let warnings: Vec<_> =
        answer["examples"].as_array().unwrap().iter().map(|one| one["warnings"].clone()).collect();
    assert_eq!(
        warnings,
        [json!(["mask-cut"]), json!(["frame-rate-differs"]), json!(["mask-held"]), json!([])]
    );
    let portrait = &answer["examples"][1];
    assert_eq!((&portrait["captioned"], &portrait["source_frame_rate"]), (&json!(false), &json!(30.0)));
    assert_eq!(each(&answer, "examples", "mask"), ["video", "image", "video", "image"]);
}

#[test]
fn rule_and_growth_are_settings() {
    let coverage = |settings: &[&str]| {
        let demo = assets("demo/demo.zip");
        let mut args = vec!["check", &demo, "--bucket", "256x256x9"];
        settings.iter().for_each(|setting| args.extend(["--set", setting]));
        let (code, answer) = Sandbox::new().json(&args);
        assert_eq!(code, 0, "{answer}");
        let of = |key: &str| answer["examples"][3][key].as_f64().unwrap();
        (of("mask_coverage"), of("latent_coverage"))
    };
    let (cover, half, reference) =
        (coverage(&[]), coverage(&["latent_rule=half"]), coverage(&["latent_rule=reference"]));
    assert!(half.1 < cover.1 && reference.1 < cover.1, "{cover:?} {half:?} {reference:?}");
    let grown = coverage(&["mask_grow_pixels=10"]);
    assert!(grown.0 > cover.0 && grown.1 >= cover.1, "{cover:?} {grown:?}");
}

#[test]
fn a_contact_sheet_shows_every_example() {
    let sandbox = Sandbox::new();
    let demo = assets("demo/demo.zip");
    let call = sandbox.inpaint(&["check", &demo, "--bucket", "256x128x9", "--sheet", "sheet.png"]);
    assert_eq!(call.code, Some(0), "{call:?}");
    let sheet = image::load_from_memory(&sandbox.read("sheet.png")).unwrap();
    // Four blocks of two lines of text and three frames, below two lines of head.
    assert_eq!(sheet.dimensions(), (8 + 3 * (256 + 8), 64 + 4 * (40 + 128 + 24) + 8));
    let at_first_frame = sheet.view(8, 64 + 40 + 8, 256, 128).to_image();
    let colours: std::collections::HashSet<_> = at_first_frame.pixels().map(|pixel| pixel.0).collect();
    assert!(colours.len() > 1000, "a picture of a real clip");
    assert_eq!(sandbox.entries(), ["sheet.png"]);
}

#[test]
fn a_sheet_that_cannot_be_written_is_no_fault_of_the_request() {
    let demo = assets("demo/demo.zip");
    let (code, answer) =
        Sandbox::new().json(&["check", &demo, "--bucket", "64x64x9", "--sheet", "no/folder.png"]);
    assert_eq!((code, &answer["outcome"]), (1, &json!("error")), "{answer}");
}
