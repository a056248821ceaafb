use super::*;

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
        trigger: "SPARK".to_owned(),
    }
}

fn verdict(clip: &str, mask: &str, fit: &Fit) -> Result<Verdict, ExampleError> {
    survey(example("a", &sample(clip), &sample(mask)), fit, &Limits::default())
}

fn usable(clip: &str, mask: &str, fit: &Fit) -> Usable {
    match verdict(clip, mask, fit) {
        Ok(Verdict::Use(usable)) => *usable,
        other => panic!("{other:?}"),
    }
}

fn dropped(example: Example, fit: &Fit) -> Warning {
    match survey(example, fit, &Limits::default()) {
        Ok(Verdict::Drop(warning)) => warning,
        other => panic!("{other:?}"),
    }
}

fn kinds(usable: &Usable) -> Vec<&'static str> {
    usable.warnings.iter().map(|warning| warning.kind).collect()
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
    assert_eq!((report.latent_coverage, warnings), (1.0, Vec::new()));
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
        let error = verdict("bunny-too-short.mp4", mask, &how("32x32x41")).unwrap_err();
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
    let found = survey(example("a", &clip, &path), &how("64x64x9"), &Limits::default());
    assert!(matches!(found, Ok(Verdict::Use(_))), "white reaches into the crop: {found:?}");
}

#[test]
fn a_variable_rate_goes_with_an_image_and_not_with_a_video() {
    let clip = "made/variable-rate.mkv";
    assert_eq!(usable(clip, MASK, &how("32x32x9")).report.source_frames, 17);
    let error = verdict(clip, "inpaint-mini/box-desk_mask.mp4", &how("32x32x9")).unwrap_err();
    assert!(matches!(error, ExampleError::VariableRate { .. }), "{error:?}");
    assert_eq!((error.fault(), error.kind()), (Fault::Request, "unprobeable-clip"));
}

#[test]
fn a_clip_that_is_none_is_told_from_a_mask_that_is_none() {
    let fault = |clip, mask| verdict(clip, mask, &how("32x32x9")).unwrap_err();
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
    let found = survey(example("a", &sample("bunny-vp9.webm"), &path), &how("32x32x9"), &Limits::default());
    let Ok(Verdict::Use(usable)) = found else { panic!("{found:?}") };
    image::GrayImage::new(8, 8).save(&path).unwrap();
    let error = usable.example.fitted(&Limits::default()).unwrap_err();
    assert!(matches!(error, ExampleError::Changed { .. }) && error.fault() == Fault::Service, "{error:?}");
}
