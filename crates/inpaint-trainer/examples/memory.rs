//! What training LTX-2.3 holds in a GPU's memory, for every size of the service, as tables: `docs/memory.md`.
#![allow(clippy::print_stdout, reason = "it prints its tables")]

use inpaint_trainer::{BasePrecision, Free, Job, MemoryPlan};
use tensor_batch::{AspectRatio, Bucket, FrameCount, OutOfRange, Rank, Resolution};

/// Memory of cards, 10^9 bytes.
const CARDS: [u64; 6] = [12, 16, 24, 32, 48, 80];

const RANKS: [Rank; 3] = [Rank::R8, Rank::R32, Rank::R128];

fn main() -> Result<(), OutOfRange> {
    let frames = FrameCount::new(89)?;
    let resolutions = [("low", Resolution::Low), ("medium", Resolution::Medium), ("high", Resolution::High)];
    let aspects = [("16:9", AspectRatio::Wide), ("1:1", AspectRatio::Square), ("9:16", AspectRatio::Tall)];
    let sizes = resolutions.into_iter().flat_map(|(resolution, value)| {
        aspects
            .map(|(aspect, ratio)| (format!("{resolution} {aspect}"), Bucket::preset(value, ratio, frames)))
    });
    let sizes: Vec<(String, Bucket)> = sizes.collect();
    println!("| size | tokens | rank | f32 | bf16 | int8 |\n|---|--:|--:|--:|--:|--:|");
    for (name, bucket) in &sizes {
        for rank in RANKS {
            let cells: Vec<String> =
                BasePrecision::ALL.iter().map(|base| needed(*bucket, rank, *base)).collect();
            let tokens = bucket.latent_grid().tokens();
            println!("| {name} | {tokens} | {} | {} |", rank.get(), cells.join(" | "));
        }
    }
    println!(
        "\n| size, rank 32 | weights | 12 GB | 16 GB | 24 GB | 32 GB | 48 GB |\n|---|---|--:|--:|--:|--:|--:|"
    );
    for (name, bucket) in &sizes {
        for base in [BasePrecision::Bf16, BasePrecision::Int8] {
            let cells: Vec<String> = CARDS[..5].iter().map(|card| offloaded(*bucket, base, *card)).collect();
            println!("| {name} | {base} | {} |", cells.join(" | "));
        }
    }
    Ok(())
}

fn plan(job: &Job, card: u64) -> MemoryPlan {
    MemoryPlan::of(job, Free { device: Some(card * 1_000_000_000), host: None })
}

/// What training needs, and the smallest card on which the whole job fits.
fn needed(bucket: Bucket, rank: Rank, base: BasePrecision) -> String {
    let job = Job::published(bucket, rank, base, false);
    let training = plan(&job, 80).stages.into_iter().find(|stage| stage.what == "training");
    let device = training.map_or(0, |stage| stage.held.device()) as f64 / 1e9;
    match CARDS.iter().find(|card| plan(&job, **card).misfit().is_none()) {
        Some(card) => format!("{device:.1} ({card})"),
        None => format!("{device:.1} (-)"),
    }
}

/// The fewest blocks on the host with which a job of rank 32 fits, and the host's memory.
fn offloaded(bucket: Bucket, base: BasePrecision, card: u64) -> String {
    let job = |offload| Job { offload, ..Job::published(bucket, Rank::R32, base, false) };
    let fitting = (0..=48).map(|offload| (offload, plan(&job(offload), card)));
    match fitting.into_iter().find(|(_, plan)| plan.misfit().is_none()) {
        Some((0, _)) => "0".to_owned(),
        Some((offload, plan)) => format!("{offload} ({:.0} GB)", plan.peak()[1] as f64 / 1e9),
        None => "-".to_owned(),
    }
}
