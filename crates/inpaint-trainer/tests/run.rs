//! A whole run through the library: what is told, how it is stopped, what is left.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test helper fails its test")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use inpaint_trainer::{
    BasePrecision, Cancel, Device, Disk, Draft, Event, Fetcher, Limits, Memory, MemoryError, MemoryPlan,
    Outcome, Preview, Reach, RunError, Settings, Stage, TrainOptions, TrainRequest, Watch,
};
use serde_json::{Value, json};

const STAGES: [Stage; 9] = [
    Stage::Fetch,
    Stage::Unpack,
    Stage::Survey,
    Stage::Validation,
    Stage::Sheet,
    Stage::EncodeClips,
    Stage::EncodePrompts,
    Stage::Train,
    Stage::Publish,
];

fn workspace(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// 100 steps on the demo at the smallest size, with one sample.
fn request() -> TrainRequest {
    let request = json!({
        "training_data_url": workspace("assets/demo/demo.zip"),
        "number_of_steps": 100,
        "rank": 8,
        "trigger_phrase": "SPARK",
        "validation": [{
            "prompt": "a fox",
            "video_url": workspace("tests/clips/bunny-vp9.webm"),
            "mask_url": workspace("tests/clips/inpaint-mini/bunny-wave_mask.png"),
        }],
    });
    TrainRequest::from_json(&request).unwrap().with_bucket("32x32x9".parse().unwrap())
}

/// Files of this machine may be read.
fn limits() -> Limits {
    let fetcher = Fetcher { reach: Reach::Anywhere, ..Fetcher::default() };
    Limits { fetcher, ..Limits::default() }
}

fn settings(folder: &Path) -> Settings {
    Settings {
        checkpoint: workspace("assets/tiny/tiny-ltx-2.3.safetensors"),
        text_encoder: workspace("assets/tiny/gemma"),
        base_model: "the-base".to_owned(),
        device: Device::flex(),
        base_precision: BasePrecision::Float32,
        offload: 0,
        out: folder.join("deep/out"),
        resume: false,
        limits: limits(),
    }
}

/// Runs in `folder`; `observe` may cancel.
fn run(folder: &Path, mut observe: impl FnMut(Event, &Cancel)) -> Result<Outcome, RunError> {
    let cancel = Cancel::default();
    let canceller = cancel.clone();
    let mut observe = |event| observe(event, &canceller);
    let mut watch = Watch::new(&mut observe, cancel);
    inpaint_trainer::run(&request(), &TrainOptions::default(), &settings(folder), &mut watch)
}

fn names(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = files.collect();
    names.sort();
    names
}

#[test]
fn a_run_tells_every_stage_in_order_and_writes_what_it_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut events = Vec::new();
    let outcome = run(dir.path(), |event, _| events.push(event)).unwrap();
    let stages = |wanted: fn(&Event) -> Option<Stage>| events.iter().filter_map(wanted).collect::<Vec<_>>();
    assert_eq!(
        stages(|event| if let Event::Started { stage, .. } = event { Some(*stage) } else { None }),
        STAGES
    );
    assert_eq!(
        stages(|event| if let Event::Finished { stage } = event { Some(*stage) } else { None }),
        STAGES
    );
    assert!(events.contains(&Event::Progress { stage: Stage::EncodeClips, done: 4 }));
    assert!(events.contains(&Event::Progress { stage: Stage::Train, done: 100 }));
    let warned = events.iter().filter(|event| matches!(event, Event::Warned(_))).count();
    assert_eq!(warned, outcome.report.warnings.len());
    assert_eq!((outcome.completed.units().get(), outcome.set_aside), (100, None));
    assert_eq!(names(&dir.path().join("deep")), ["out"]);
    check_config(&dir.path().join("deep/out/config.json"));
}

/// The file holds the request, so that it can be run again.
fn check_config(path: &Path) {
    let config: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    assert_eq!((&config["base_model"], &config["trigger_phrase"]), (&json!("the-base"), &json!("SPARK")));
    let again = TrainRequest::from_json(&config["request"]).unwrap();
    assert_eq!(again.with_bucket("32x32x9".parse().unwrap()), request());
    assert_eq!(TrainOptions::from_json(&config["options"]).unwrap(), TrainOptions::default());
}

#[test]
fn a_run_can_be_stopped_in_every_stage_before_the_last_and_leaves_earlier_results() {
    for stop in &STAGES[..8] {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("deep/out");
        fs::create_dir_all(&out).unwrap();
        fs::write(out.join("lora.safetensors"), "of an earlier run").unwrap();
        let mut last = None;
        let result = run(dir.path(), |event, cancel| {
            let Event::Started { stage, .. } = event else { return };
            last = Some(stage);
            if stage == *stop {
                cancel.cancel();
            }
        });
        assert!(matches!(result, Err(RunError::Interrupted)), "{stop:?}: {result:?}");
        assert!(last.is_some_and(|last| last >= *stop && last <= Stage::Train), "{stop:?}: {last:?}");
        let (names, earlier) = match *stop < Stage::EncodeClips {
            true => (vec!["out"], out),
            false => (vec!["out", "out.1"], dir.path().join("deep/out.1")),
        };
        assert_eq!(self::names(&dir.path().join("deep")), names, "{stop:?}");
        assert_eq!(fs::read(earlier.join("lora.safetensors")).unwrap(), b"of an earlier run", "{stop:?}");
    }
}

/// Runs where `disk` is all there is; gives the stage that failed, and why.
fn run_on(disk: Disk) -> (Stage, String) {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("deep/out");
    fs::create_dir_all(&out).unwrap();
    fs::write(out.join("lora.safetensors"), "of an earlier run").unwrap();
    let settings = Settings { limits: Limits { disk, ..limits() }, ..settings(dir.path()) };
    let mut observe = |_| ();
    let mut watch = Watch::new(&mut observe, Cancel::default());
    let result = inpaint_trainer::run(&request(), &TrainOptions::default(), &settings, &mut watch);
    assert_eq!(names(&dir.path().join("deep")), ["out"], "earlier results stay where they are");
    assert_eq!(names(&out), ["lora.safetensors"]);
    match result {
        Err(RunError::Failed { stage, source }) => (stage, source.to_string()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_run_whose_first_preview_fails_ends_before_its_first_step_and_can_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let in_the_way = dir.path().join("deep/out/previews");
    let mut steps = 0;
    let result = run(dir.path(), |event, _| match event {
        // Previews belong in a folder of this name.
        Event::Started { stage: Stage::Train, .. } => fs::write(&in_the_way, "mine").unwrap(),
        Event::Trained(_) => steps += 1,
        _ => {}
    });
    let Err(RunError::Failed { stage: Stage::Preview, source }) = result else { panic!("{result:?}") };
    let why = source.to_string();
    assert!(why.starts_with("there is no preview of sample 1 after step 0: "), "{why}");
    assert!(why.ends_with("the training was not begun: it can do without `validation`"), "{why}");
    assert_eq!(steps, 0);
    fs::remove_file(&in_the_way).unwrap();
    let settings = Settings { resume: true, ..settings(dir.path()) };
    let mut observe = |_| ();
    let mut watch = Watch::new(&mut observe, Cancel::default());
    let outcome = inpaint_trainer::run(&request(), &TrainOptions::default(), &settings, &mut watch).unwrap();
    assert_eq!(outcome.completed.units().get(), 100);
    assert!(in_the_way.join("step-000000-sample-1.mp4").exists());
}

#[test]
fn a_preview_that_fails_later_is_a_warning_and_never_costs_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("deep/out/previews");
    let (mut warned, mut made) = (0, Vec::new());
    let outcome = run(dir.path(), |event, _| match event {
        Event::Progress { stage: Stage::Train, done: 50 } => {
            fs::remove_dir_all(&folder).unwrap();
            fs::write(&folder, "mine").unwrap();
        }
        Event::Warned(warning) if warning.kind == "preview-failed" => warned += 1,
        Event::Previewed(report) => made.push(report.step),
        _ => {}
    });
    let outcome = outcome.unwrap();
    assert_eq!((outcome.completed.units().get(), warned, made), (100, 1, vec![0]));
    let told = outcome.report.warnings.iter().filter(|one| one.kind == "preview-failed");
    let told: Vec<_> = told.map(|one| (one.name.as_str(), one.message.clone())).collect();
    assert_eq!(told.len(), 1);
    assert!(told[0].0 == "validation 1" && told[0].1.contains("sample 1 after step 100"), "{told:?}");
    assert!(dir.path().join("deep/out/lora.safetensors").exists());
}

#[test]
fn previews_before_training_end_the_rehearsal_and_tell_their_memory() {
    let dir = tempfile::tempdir().unwrap();
    let mut told = Vec::new();
    let result = run(dir.path(), |event, cancel| match event {
        Event::Rehearsed(_) => told.push(("rehearsed", None)),
        Event::Previewed(report) => told.push(("previewed", report.peak_memory)),
        Event::Trained(_) => {
            told.push(("trained", None));
            cancel.cancel();
        }
        _ => {}
    });
    assert!(matches!(result, Err(RunError::Interrupted)), "{result:?}");
    let order: Vec<&str> = told.iter().map(|(what, _)| *what).collect();
    assert!(order.starts_with(&["rehearsed", "previewed", "trained"]), "{order:?}");
    if cfg!(target_os = "linux") {
        assert!(told[1].1.is_some_and(|peak| peak > 1 << 20), "{told:?}");
    }
}

/// Inpaints the sample where so much memory is free; gives what was planned.
fn preview_with(memory: fn() -> Option<u64>) -> (Result<Preview, RunError>, Option<MemoryPlan>) {
    let dir = tempfile::tempdir().unwrap();
    let memory = Memory { host: memory, ..Memory::default() };
    let settings = Settings { limits: Limits { memory, ..limits() }, ..settings(dir.path()) };
    let mut options = Draft::new(json!({ "training_data_url": "none.zip" })).unwrap();
    options.set("preview_steps=2");
    let (_, options) = options.check().unwrap();
    let mut plan = None;
    let mut observe = |event| {
        if let Event::Planned(planned) = event {
            plan = Some(planned);
        }
    };
    let mut watch = Watch::new(&mut observe, Cancel::default());
    let target = dir.path().join("preview.mp4");
    let result = inpaint_trainer::preview(&request(), &options, &settings, None, &target, &mut watch);
    assert_eq!(target.exists(), result.is_ok());
    (result, plan)
}

#[test]
fn a_preview_on_its_own_is_planned_and_refused_where_it_does_not_fit() {
    let (made, plan) = preview_with(|| Some(1 << 40));
    assert_eq!(made.unwrap().numbers.kept_differing, 0);
    let stages: Vec<&str> = plan.unwrap().stages.iter().map(|stage| stage.what).collect();
    assert_eq!(stages, ["encoding clips", "encoding prompts", "previews"]);
    let (refused, plan) = preview_with(|| Some(1 << 20));
    assert!(plan.is_some());
    let Err(RunError::Failed { stage: Stage::Preview, source }) = refused else { panic!("{refused:?}") };
    assert!(source.is::<MemoryError>(), "{source}");
}

#[test]
fn a_run_that_averages_gradients_plans_for_their_sum() {
    let adapters = |accumulation: &str| {
        let dir = tempfile::tempdir().unwrap();
        let mut options = Draft::new(json!({ "training_data_url": "none.zip" })).unwrap();
        options.set(&format!("accumulation={accumulation}"));
        let (_, options) = options.check().unwrap();
        let (cancel, mut plan) = (Cancel::default(), None);
        let mut observe = |event| {
            if let Event::Planned(planned) = event {
                plan = Some(planned);
                cancel.cancel();
            }
        };
        let mut watch = Watch::new(&mut observe, cancel.clone());
        let result = inpaint_trainer::run(&request(), &options, &settings(dir.path()), &mut watch);
        assert!(matches!(result, Err(RunError::Interrupted)), "{result:?}");
        plan.unwrap().stages.iter().find(|stage| stage.what == "training").unwrap().held.adapters
    };
    // The sum is a fourth of adapters, gradients and two moments.
    assert_eq!(adapters("4") * 4, adapters("1") * 5);
}

#[test]
fn a_run_tells_of_its_previews() {
    let dir = tempfile::tempdir().unwrap();
    let (mut told, mut last) = (Vec::new(), None);
    run(dir.path(), |event, _| match event {
        Event::Sampling { step, sample, done, total } => {
            assert!(sample == 1 && done >= 1 && done <= total && total == 30);
            last = Some((step, done));
        }
        Event::Previewed(report) => {
            assert_eq!(last, Some((report.step, 30)));
            told.push((report.step, report.sample, report.prompt));
        }
        _ => {}
    })
    .unwrap();
    assert_eq!(told, [(0, 1, "a fox".to_owned()), (100, 1, "a fox".to_owned())]);
}

#[test]
fn a_full_disk_is_found_before_anything_is_unpacked_or_encoded_and_is_not_the_users_fault() {
    let (stage, why) = run_on(Disk::new(|_| Ok(0)));
    assert_eq!(stage, Stage::Unpack);
    assert!(why.starts_with("the disk is too full") && why.ends_with(" 0 are free"), "{why}");
    let (stage, why) = run_on(Disk::new(|work| Ok(if work.join("media").exists() { 7 } else { u64::MAX })));
    assert_eq!(stage, Stage::EncodeClips);
    assert!(why.starts_with("the disk is too full") && why.ends_with(" 7 are free"), "{why}");
}

#[test]
fn a_service_reads_no_files_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { limits: Limits::default(), ..settings(dir.path()) };
    let mut observe = |_| ();
    let mut watch = Watch::new(&mut observe, Cancel::default());
    match inpaint_trainer::run(&request(), &TrainOptions::default(), &settings, &mut watch) {
        Err(RunError::Rejected { details, .. }) => {
            let found: Vec<_> = details.iter().map(|fault| (json!(fault.loc), fault.ctx.kind)).collect();
            assert_eq!(found, [(json!(["body", "training_data_url"]), "not-allowed")]);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_text_encoder_that_is_not_there_is_the_operators_fault() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { text_encoder: dir.path().join("nowhere"), ..settings(dir.path()) };
    let mut observe = |_| ();
    let mut watch = Watch::new(&mut observe, Cancel::default());
    let result = inpaint_trainer::run(&request(), &TrainOptions::default(), &settings, &mut watch);
    assert!(matches!(result, Err(RunError::Failed { .. })), "{result:?}");
}
