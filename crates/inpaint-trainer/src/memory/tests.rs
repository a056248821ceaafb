#![allow(clippy::unwrap_used, reason = "a helper of a test fails by panicking")]
use super::*;

const GB: u64 = 1_000_000_000;

fn job(size: &str, base: BasePrecision) -> Job {
    Job::published(size.parse().unwrap(), Rank::R32, base, false)
}

fn peak(job: &Job, device: u64) -> [u64; 2] {
    MemoryPlan::of(job, Free { device: Some(device), host: None }).peak()
}

#[test]
fn the_default_preset_fits_where_it_should() {
    let default = |base| job("768x768x89", base);
    assert!(peak(&default(BasePrecision::Bf16), 40 * GB)[0] < 40 * GB);
    assert!(peak(&default(BasePrecision::Int8), 24 * GB)[0] < 24 * GB);
    let offloaded = Job { offload: 48, ..default(BasePrecision::Bf16) };
    let [device, host] = peak(&offloaded, 12 * GB);
    assert!(device < 12 * GB && host < 32 * GB, "{device} {host}");
}

#[test]
fn averaged_gradients_are_planned_for_where_they_are_held() {
    let of = |accumulation| {
        let job = Job {
            purpose: Purpose::Training { accumulation },
            preview: Some("768x768x89".parse().unwrap()),
            ..job("768x768x89", BasePrecision::Bf16)
        };
        let held = MemoryPlan::of(&job, Free { device: None, host: None }).stages;
        ["training", "previews"].map(|what| held.iter().find(|stage| stage.what == what).unwrap().held)
    };
    let [[once, shown], [several, shown_then]] = [of(1), of(4)];
    // A fourth of adapters, gradients and two moments.
    assert_eq!(several.adapters - once.adapters, once.adapters / 4);
    assert_eq!(several, Held { adapters: several.adapters, ..once });
    assert_eq!(shown, shown_then);
}

#[test]
fn a_job_that_does_not_fit_is_told_what_would() {
    let job = job("768x768x89", BasePrecision::Bf16);
    let free = Free { device: Some(24 * GB), host: Some(64 * GB) };
    let error = MemoryPlan::of(&job, free).check(&job).unwrap_err();
    assert_eq!((error.what, error.fault(), error.kind()), ("training", Fault::Service, "memory"));
    assert_eq!(error.remedies[0].split(' ').next(), Some("--offload"));
    assert_eq!(error.remedies[1], "--base-precision int8");
    for remedy in &error.remedies {
        let mut changed = job.clone();
        for (name, value) in words(remedy) {
            match name {
                "--base-precision" => changed.base = value.parse().unwrap(),
                "--offload" => changed.offload = value.parse().unwrap(),
                name => panic!("{name}"),
            }
        }
        assert_eq!(MemoryPlan::of(&changed, free).check(&changed), Ok(()), "{remedy}");
    }
    // One block fewer on the host would be too few.
    let blocks: usize = error.remedies[0].strip_prefix("--offload ").unwrap().parse().unwrap();
    let fewer = Job { offload: blocks - 1, ..job };
    assert!(MemoryPlan::of(&fewer, free).check(&fewer).is_err());
}

fn words(remedy: &str) -> Vec<(&str, &str)> {
    let words: Vec<&str> = remedy.split(' ').collect();
    words.chunks(2).map(|pair| (pair[0], pair[1])).collect()
}

#[test]
fn where_nothing_else_helps_a_smaller_size_does_or_nothing() {
    let cpu = Job { unified: true, ..job("960x960x89", BasePrecision::Float32) };
    let of = |host| {
        let free = Free { device: None, host: Some(host) };
        MemoryPlan::of(&cpu, free).check(&cpu).unwrap_err()
    };
    let remedies = of(32 * GB).remedies;
    assert!(remedies.iter().any(|remedy| remedy.starts_with("--base-precision int8")), "{remedies:?}");
    assert!(remedies.iter().all(|remedy| !remedy.contains("offload")), "{remedies:?}");
    let nothing = of(GB);
    assert!(nothing.remedies.is_empty());
    assert!(nothing.to_string().ends_with("no setting makes it fit"), "{nothing}");
}

#[test]
fn tiles_are_as_large_as_memory_allows() {
    let cuts = |device| {
        let job = job("960x960x89", BasePrecision::Bf16);
        MemoryPlan::of(&job, Free { device: Some(device), host: None }).cuts
    };
    assert_eq!(cuts(80 * GB).tile, None);
    assert_eq!(cuts(12 * GB).tile, Some([512, 128]));
    assert!(cuts(6 * GB).tile.unwrap()[0] < 512);
}

#[test]
fn captions_share_a_reading_where_there_is_room() {
    let captions = |device| {
        let job = Job { prompts: 20, ..job("512x512x89", BasePrecision::Bf16) };
        MemoryPlan::of(&job, Free { device: Some(device), host: None }).cuts.captions
    };
    assert_eq!(captions(80 * GB), 8);
    assert!((1..8).contains(&captions(14 * GB)));
}

#[test]
fn the_plan_reads_as_a_table() {
    let job = Job { preview: Some("960x960x89".parse().unwrap()), ..job("768x768x89", BasePrecision::Bf16) };
    let text = MemoryPlan::of(&job, Free { device: Some(80 * GB), host: None }).to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 5);
    assert!(lines[2].starts_with("training ") && lines[2].contains("weights 26.2, adapters 1.6"), "{text}");
    assert!(lines[3].starts_with("previews ") && lines[3].contains("tiles of 48 frames"), "{text}");
    assert_eq!(lines[4], "free: 80.0 GB on the device, unknown GB on the host");
}

/// The tiles of a preview beside a training on a card of 80 GB.
fn preview_tiles(job: &Job) -> [usize; 2] {
    MemoryPlan::of(job, Free { device: Some(80 * GB), host: None }).cuts.preview
}

#[test]
fn previews_are_cut_until_they_take_no_more_than_the_run_does_without() {
    let preview = |size: &str, purpose| Job {
        purpose,
        preview: Some(size.parse().unwrap()),
        ..job("768x768x89", BasePrecision::Bf16)
    };
    let both = preview("960x960x89", Purpose::Training { accumulation: 1 });
    let alone = Job { preview: None, ..both.clone() };
    let card = 80 * GB;
    assert_eq!(peak(&both, card)[0], peak(&alone, card)[0], "previews raise the peak");
    assert_eq!(preview_tiles(&both), [48, 384]);
    assert_eq!(preview_tiles(&preview("960x960x89", Purpose::Inpainting { adapters: 0 })), [80, 768]);
}

#[test]
fn a_preview_that_does_not_fit_is_told_a_smaller_one() {
    let cpu = |size: &str, preview: &str| Job {
        preview: Some(preview.parse().unwrap()),
        rank: Rank::R8,
        unified: true,
        ..job(size, BasePrecision::Float32)
    };
    let purpose = Purpose::Inpainting { adapters: 0 };
    let beside = cpu("256x256x9", "960x960x121");
    let alone = Job { purpose, ..cpu("960x960x121", "960x960x121") };
    for job in [beside, alone] {
        // A byte less than it takes in the tiles that take least.
        let free = |host| Free { device: None, host: Some(host) };
        let least = MemoryPlan::of(&job, free(0)).stages.last().unwrap().held;
        let free = free(least.device() + least.host - 1);
        let error = MemoryPlan::of(&job, free).check(&job).unwrap_err();
        let smaller = |remedy: &String| remedy.starts_with("--set validation_resolution=");
        assert!(error.what == "previews" && error.remedies.iter().any(smaller), "{error}");
    }
}
