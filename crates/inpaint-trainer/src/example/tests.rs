use std::{fs, path::Path};

use dataset_zip::Example;
use tensor_batch::Size;

use super::{survey::Usable, *};
use crate::{Scene, Warning};

/// A sample clip or mask.
pub(crate) fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/clips").join(name)
}

pub(crate) const MASK: &str = "inpaint-mini/bunny-wave_mask.png";

/// An example of a clip and a mask, which is an image if its name ends in `png`.
pub(crate) fn example(name: &str, clip: &Path, mask: &Path) -> Example {
    let mask = match mask.extension().is_some_and(|extension| extension == "png") {
        true => MaskSource::Image(mask.to_owned()),
        false => MaskSource::Video(mask.to_owned()),
    };
    Example { stem: Stem::new(name), clip: clip.to_owned(), mask, caption: Caption::new("a hare") }
}

/// Into `bucket` at 24 frames per second.
pub(crate) fn how(bucket: &str) -> Fit {
    Fit {
        bucket: bucket.parse().unwrap(),
        frame_rate: FrameRate::DEFAULT,
        auto_scale: false,
        scenes_above: None,
        latent_rule: LatentRule::default(),
        trigger: "SPARK".to_owned(),
    }
}

fn found(clip: &str, mask: &str, fit: &Fit) -> Result<Findings, ExampleError> {
    survey(example("a", &sample(clip), &sample(mask)), fit, &Limits::default())
}

fn only(findings: Result<Findings, ExampleError>) -> Usable {
    let Findings { mut used, dropped, warnings } = findings.unwrap();
    assert_eq!((used.len(), dropped.len(), warnings.len()), (1, 0, 0), "{used:?} {dropped:?} {warnings:?}");
    used.pop().unwrap()
}

fn usable(clip: &str, mask: &str, fit: &Fit) -> Usable {
    only(found(clip, mask, fit))
}

fn dropped(example: Example, fit: &Fit) -> Warning {
    let mut findings = survey(example, fit, &Limits::default()).unwrap();
    assert_eq!((findings.used.len(), findings.dropped.len()), (0, 1), "{findings:?}");
    findings.dropped.pop().unwrap()
}

/// The kinds of the warnings but one: in buckets of a few cells every cell is regenerated.
fn kinds(usable: &Usable) -> Vec<&'static str> {
    usable.report.warnings.iter().copied().filter(|kind| *kind != "nothing-kept").collect()
}

#[test]
fn a_survey_says_what_is_taken_of_an_example() {
    let Usable { report, warnings, .. } = usable("inpaint-mini/bunny-wave.mp4", MASK, &how("64x64x9"));
    assert_eq!((report.name.as_str(), report.caption.as_str()), ("a", "SPARK a hare"));
    assert_eq!((report.frames, report.source_frames, report.source_size), (9, 125, [640, 360]));
    assert_eq!((report.mask, report.frame_rate), ("image", 25.0));
    // A square of 640x360, where whole pixels allow.
    assert!((report.cropped - 0.4375).abs() < 0.005, "{report:?}");
    // 35 % of what the crop leaves of the mask is white, and its edge grows to whole pixels; every cell holds some.
    assert!((0.35..0.39).contains(&report.mask_coverage), "{report:?}");
    assert_eq!((report.latent_coverage, report.warnings), (1.0, vec!["nothing-kept"]));
    assert_eq!(warnings[0].kind, "nothing-kept");
}

#[test]
fn what_was_surveyed_is_what_is_fitted() {
    let Usable { example, report, .. } =
        usable("inpaint-mini/box-desk.mp4", "inpaint-mini/box-desk_mask.mp4", &how("64x96x17"));
    let fitted = example.fitted(&Limits::default()).unwrap();
    assert_eq!(fitted.clip().pixels().dim(), (17, 96, 64, 3));
    assert_eq!((fitted.stem(), fitted.clip().rate().fps()), (&example.stem, report.frame_rate));
    assert_eq!(fitted.mask().coverage(), report.mask_coverage);
    assert_eq!(fitted.latent_mask().generated(), report.latent_coverage);
    assert_eq!(fitted.caption().map(Caption::as_str), Some("a hare"));
}

#[test]
fn a_mask_video_of_another_length_is_held_or_cut_and_the_user_is_told() {
    let of = |name: &str| {
        let (clip, mask) = (format!("inpaint-mini/{name}.mp4"), format!("inpaint-mini/{name}_mask.mp4"));
        usable(&clip, &mask, &how("32x32x9"))
    };
    assert_eq!((of("box-desk").report.mask, kinds(&of("box-desk"))), ("video", vec!["mask-cut"]));
    let held = of("bunny-square");
    assert_eq!(kinds(&held), ["mask-held"]);
    let message = &held.warnings[0].message;
    assert!(message.contains("60") && message.contains("97"), "{message}");
}

#[test]
fn a_short_clip_is_dropped_but_its_mask_is_looked_at() {
    let short = sample("bunny-too-short.mp4");
    let warning = dropped(example("a", &short, &sample(MASK)), &how("32x32x41"));
    assert_eq!((warning.name.as_str(), warning.kind), ("a", "clip-too-short"));
    assert!(warning.message.contains("30") && warning.message.contains("41"), "{}", warning.message);
    for mask in ["ATTRIBUTION.md", "inpaint-mini/bunny-wave.txt"] {
        let error = found("bunny-too-short.mp4", mask, &how("32x32x41")).unwrap_err();
        assert_eq!((error.fault(), error.kind()), (Fault::Request, "unreadable-mask"));
    }
}

#[test]
fn a_short_clip_is_spread_if_that_is_asked_for() {
    let fit = Fit { auto_scale: true, ..how("32x32x41") };
    let spread = usable("bunny-too-short.mp4", MASK, &fit);
    assert_eq!((spread.report.frames, spread.report.frame_rate), (41, 24.0));
    assert_eq!(spread.example.fitted(&Limits::default()).unwrap().clip().pixels().dim().0, 41);
}

#[test]
fn a_rate_that_differs_is_kept_and_reported() {
    let at = |fps| Fit { frame_rate: FrameRate::new(fps).unwrap(), ..how("32x32x9") };
    assert_eq!(kinds(&usable("bunny-too-short.mp4", MASK, &at(24.0))), Vec::<&str>::new());
    let other = usable("bunny-too-short.mp4", MASK, &at(20.0));
    assert_eq!((other.report.frame_rate, kinds(&other)), (25.0, vec!["frame-rate-differs"]));
    let sampled = usable("bunny-too-short.mp4", MASK, &Fit { auto_scale: true, ..at(20.0) });
    assert_eq!((sampled.report.frame_rate, kinds(&sampled)), (20.0, Vec::new()));
}

#[test]
fn a_mask_with_nothing_white_inside_the_crop_drops_its_clip() {
    let dir = tempfile::tempdir().unwrap();
    let clip = sample("inpaint-mini/bunny-wave.mp4");
    let path = dir.path().join("mask.png");
    for white_columns in [0, 12] {
        let white = |x, _| image::Luma([if x < white_columns { 255u8 } else { 0 }]);
        image::GrayImage::from_fn(64, 36, white).save(&path).unwrap();
        let warning = dropped(example("a", &clip, &path), &how("64x64x9"));
        assert_eq!(warning.kind, "nothing-to-regenerate", "{white_columns}");
    }
    image::GrayImage::from_fn(64, 36, |x, _| image::Luma([if x < 16 { 255u8 } else { 0 }]))
        .save(&path)
        .unwrap();
    // White reaches into the crop.
    only(survey(example("a", &clip, &path), &how("64x64x9"), &Limits::default()));
}

#[test]
fn a_variable_rate_goes_with_an_image_and_not_with_a_video() {
    let clip = "made/variable-rate.mkv";
    assert_eq!(usable(clip, MASK, &how("32x32x9")).report.source_frames, 17);
    let error = found(clip, "inpaint-mini/box-desk_mask.mp4", &how("32x32x9")).unwrap_err();
    assert!(matches!(error, ExampleError::VariableRate { .. }), "{error:?}");
    assert_eq!((error.fault(), error.kind()), (Fault::Request, "unprobeable-clip"));
}

#[test]
fn a_clip_that_is_none_is_told_from_a_mask_that_is_none() {
    let fault = |clip, mask| found(clip, mask, &how("32x32x9")).unwrap_err();
    let clip = fault("ATTRIBUTION.md", MASK);
    assert!(matches!(clip, ExampleError::Clip { .. }) && clip.kind() == "unreadable-clip", "{clip:?}");
    let mask = fault("bunny-vp9.webm", "ATTRIBUTION.md");
    assert!(matches!(mask, ExampleError::MaskVideo { .. }) && mask.kind() == "unreadable-mask", "{mask:?}");
    let gone = fault("bunny-vp9.webm", "nowhere.png");
    assert!(matches!(gone, ExampleError::Io { .. }) && gone.fault() == Fault::Service, "{gone:?}");
}

#[test]
fn a_mask_that_turns_black_after_the_survey_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mask.png");
    fs::copy(sample(MASK), &path).unwrap();
    let usable =
        only(survey(example("a", &sample("bunny-vp9.webm"), &path), &how("32x32x9"), &Limits::default()));
    image::GrayImage::new(8, 8).save(&path).unwrap();
    let error = usable.example.fitted(&Limits::default()).unwrap_err();
    assert!(matches!(error, ExampleError::Changed { .. }) && error.fault() == Fault::Service, "{error:?}");
}

/// Pixels of a side, and of the stripe that moves by its own width a frame.
const SIDE: u32 = 320;
const STRIPE: usize = 4;

/// A clip of two scenes, dark reddish frames and then lighter bluish ones from `cut` on, and its mask: both have a
/// bright stripe that tells the frame.
fn striped(folder: &Path, frames: usize, cut: usize) -> Example {
    let write = |name: &str, background: &dyn Fn(usize) -> [u8; 3]| {
        let path = folder.join(name);
        let frame = |i: usize| {
            ndarray::Array3::from_shape_fn((SIDE as usize, SIDE as usize, 3), |(_, x, channel)| {
                if x / STRIPE == i { 255 } else { background(i)[channel] }
            })
        };
        let size = Size { width: SIDE, height: SIDE };
        video_fit::write_mp4(&path, size, FrameRate::new(25.0).unwrap(), (0..frames).map(frame)).unwrap();
        path
    };
    let clip = write("clip.mp4", &|i| if i < cut { [90, 30, 20] } else { [60, 100, 150] });
    let mask = write("mask.mp4", &|_| [0; 3]);
    example("take", &clip, &mask)
}

/// Where the stripe is in every frame of a fitted clip, by its picture and by its mask.
fn stripes(fitted: &FittedClip) -> (Vec<usize>, Vec<usize>) {
    let (pixels, mask) = (fitted.clip().pixels(), fitted.mask().values());
    let middle = |stripe: usize| stripe * STRIPE + STRIPE / 2;
    let stripes = SIDE as usize / STRIPE;
    let red = |frame: usize, stripe: usize| pixels[[frame, SIDE as usize / 2, middle(stripe), 0]];
    let brightest = |frame: usize| (0..stripes).max_by_key(|stripe| red(frame, *stripe)).unwrap();
    let white = |frame: usize| {
        let whites: Vec<_> =
            (0..stripes).filter(|stripe| mask[[frame, SIDE as usize / 2, middle(*stripe)]]).collect();
        assert_eq!(whites.len(), 1, "{whites:?}");
        whites[0]
    };
    (0..fitted.clip().pixels().dim().0).map(|frame| (brightest(frame), white(frame))).unzip()
}

#[test]
fn a_long_clip_is_cut_into_scenes_and_its_mask_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let clip = striped(dir.path(), 70, 30);
    let fit = Fit { scenes_above: Some(2.0), ..how("320x320x25") };
    let found = survey(clip.clone(), &fit, &Limits::default()).unwrap();
    let [note] = &found.warnings[..] else { panic!("{:?}", found.warnings) };
    assert_eq!(note.kind, "cut-into-scenes");
    assert!(note.message.contains("1.20 s (frame 30)"), "{}", note.message);
    let scenes: Vec<_> =
        found.used.iter().map(|one| (one.report.name.as_str(), one.report.scene.unwrap())).collect();
    let scene = |number, first_frame, frames| Scene { number, of: 2, first_frame, frames };
    assert_eq!(scenes, [("take-scene-1", scene(1, 0, 30)), ("take-scene-2", scene(2, 30, 40))]);
    for (usable, start) in found.used.iter().zip([0, 30]) {
        let wanted: Vec<_> = (start..start + 25).collect();
        assert_eq!(stripes(&usable.example.fitted(&Limits::default()).unwrap()), (wanted.clone(), wanted));
    }
}

#[test]
fn a_scene_too_short_is_dropped_or_spread() {
    let dir = tempfile::tempdir().unwrap();
    let clip = striped(dir.path(), 70, 15);
    let fit = Fit { scenes_above: Some(2.0), ..how("320x320x25") };
    let found = survey(clip.clone(), &fit, &Limits::default()).unwrap();
    assert_eq!((found.used.len(), found.dropped.len()), (1, 1));
    assert_eq!((found.dropped[0].name.as_str(), found.dropped[0].kind), ("take-scene-1", "clip-too-short"));
    let spread = survey(clip, &Fit { auto_scale: true, ..fit }, &Limits::default()).unwrap();
    let (shown, white) = stripes(&spread.used[0].example.fitted(&Limits::default()).unwrap());
    assert_eq!(shown, white);
    assert_eq!((shown[0], shown[24], shown.is_sorted()), (0, 14, true));
}

#[test]
fn a_clip_below_the_threshold_or_without_a_cut_stays_whole() {
    let dir = tempfile::tempdir().unwrap();
    let clip = striped(dir.path(), 70, 30);
    for scenes_above in [None, Some(2.9)] {
        let whole =
            only(survey(clip.clone(), &Fit { scenes_above, ..how("320x320x25") }, &Limits::default()));
        assert_eq!((whole.report.name.as_str(), whole.report.scene), ("take", None));
    }
    let uncut = striped(dir.path(), 70, 70);
    let found =
        survey(uncut, &Fit { scenes_above: Some(2.0), ..how("320x320x25") }, &Limits::default()).unwrap();
    assert_eq!((found.used.len(), found.warnings[0].kind), (1, "no-cut-found"));
    assert_eq!(found.used[0].report.scene, None);
}

#[test]
fn a_mask_that_does_not_look_like_one_is_pointed_out() {
    let dir = tempfile::tempdir().unwrap();
    let clip = sample("inpaint-mini/bunny-wave.mp4");
    let path = dir.path().join("mask.png");
    let kinds_of = |width, height, value: &dyn Fn(u32, u32) -> u8| {
        image::GrayImage::from_fn(width, height, |x, y| image::Luma([value(x, y)])).save(&path).unwrap();
        kinds(&only(survey(example("a", &clip, &path), &how("64x64x9"), &Limits::default())))
    };
    let left = |x: u32, half: u32| if x < half { 255 } else { 0 };
    assert_eq!(kinds_of(160, 90, &|x, _| left(x, 80)), Vec::<&str>::new());
    assert_eq!(kinds_of(100, 90, &|x, _| left(x, 50)), ["mask-aspect"]);
    // An eighth of the picture is grey.
    assert_eq!(kinds_of(160, 90, &|x, _| if x < 20 { 120 } else { left(x, 80) }), ["grey-mask"]);
    image::GrayImage::from_pixel(160, 90, image::Luma([255])).save(&path).unwrap();
    let all = only(survey(example("a", &clip, &path), &how("64x64x9"), &Limits::default()));
    assert_eq!(all.report.warnings, ["nothing-kept"]);
    assert!(all.warnings[0].message.contains("100 %"), "{}", all.warnings[0].message);
}
