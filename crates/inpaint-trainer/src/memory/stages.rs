//! What each stage holds, and which settings would make a job fit.

use std::cmp::Ordering;

use lora_train::memory::StepSize;
use ltx_model::{BasePrecision, CAPTIONS_AT_ONCE, CONTEXT_TOKENS, TextMemory};
use tensor_batch::{AspectRatio, Bucket, Resolution};

use super::{Cuts, Free, Held, Job, MemoryPlan, Purpose, StageMemory};

const FLOAT: u64 = 4;

/// The process itself, with its libraries and buffers.
const PROCESS: u64 = 400 << 20;

/// The context of a GPU's driver, with its kernels.
const CONTEXT: u64 = 600 << 20;

/// What a GPU's allocator leaves between tensors: one part in so many of what is computed.
const SLACK: u64 = 10;

/// The largest tensor of the transformer's file, which is on the host while it is read: the modulation's last layer.
fn read_buffer(job: &Job) -> u64 {
    let width = job.transformer.inner_dim() as u64;
    2 * 9 * width * width
}

/// Tiles that clips are encoded in: their side and what they share. None is the whole clip.
const TILES: [Option<[usize; 2]>; 4] = [None, Some([512, 128]), Some([384, 128]), Some([256, 64])];

/// Tiles that previews are decoded in: frames, side.
const PREVIEW_TILES: [[usize; 2]; 3] = [[80, 768], [48, 384], [24, 256]];

pub(super) fn planned(job: &Job, free: Free) -> MemoryPlan {
    let (tile, encoding) = encoding(job, free);
    let (captions, texts) = texts(job, free);
    let mut stages = vec![encoding, texts];
    let mut room = free;
    if let Purpose::Training { .. } = job.purpose {
        stages.push(training(job));
        room = no_more_than(&stages, job, free);
    }
    let mut cuts = Cuts { tile, captions, ..Cuts::default() };
    if let Some(bucket) = job.preview {
        let (tiles, stage) = previews(job, bucket, room);
        cuts.preview = tiles;
        stages.push(stage);
    }
    MemoryPlan { stages, cuts, unified: job.unified, free }
}

/// Of what is free as much as `stages` hold at their highest: what comes besides shall not raise the peak of a run.
fn no_more_than(stages: &[StageMemory], job: &Job, free: Free) -> Free {
    let most = |held: fn(&Held) -> u64| stages.iter().map(|stage| held(&stage.held)).max();
    let least = |free: Option<u64>, most: Option<u64>| free.into_iter().chain(most).min();
    match job.unified {
        true => Free { host: least(free.host, most(|held| held.device() + held.host)), ..free },
        false => Free { device: least(free.device, most(Held::device)), ..free },
    }
}

/// The first way of doing a stage that fits, else the last.
fn first_that_fits<T>(
    job: &Job,
    free: Free,
    ways: impl IntoIterator<Item = (T, StageMemory)>,
) -> Option<(T, StageMemory)> {
    let mut last = None;
    for way in ways {
        let fits = free.holds(&way.1.held, job.unified);
        last = Some(way);
        if fits {
            break;
        }
    }
    last
}

fn encoding(job: &Job, free: Free) -> (Option<[usize; 2]>, StageMemory) {
    let size = job.bucket.size();
    let whole = [size.width as usize, size.height as usize];
    let smaller = |tile: &Option<[usize; 2]>| tile.is_none_or(|[side, _]| whole.iter().any(|w| side < *w));
    let ways = TILES.into_iter().filter(smaller).map(|tile| (tile, encoded_in(job, tile)));
    first_that_fits(job, free, ways).unwrap_or_else(|| (None, encoded_in(job, None)))
}

fn encoded_in(job: &Job, tile: Option<[usize; 2]>) -> StageMemory {
    let (size, frames) = (job.bucket.size(), job.bucket.frames().get() as usize);
    let [width, height] = [size.width, size.height].map(|side| side as usize);
    let within = |side: usize| tile.map_or(side, |[most, _]| side.min(most));
    let pixels = (3 * frames * width * height) as u64;
    let tiles = job.vae.encoding_bytes([frames, within(height), within(width)]);
    let activations = tiles + if tile.is_some() { FLOAT * pixels } else { 0 };
    let how = match tile {
        Some([side, shared]) => format!("tiles of {side} pixels that share {shared}"),
        None => String::new(),
    };
    // A GPU's convolutions want their channels last, and copy what comes otherwise.
    let activations = if job.unified { activations } else { activations + activations / 2 };
    let held = Held {
        weights: job.vae.encoder_weight_bytes(),
        activations,
        // The clip as bytes and as floats on its way to the device.
        host: PROCESS + pixels + if job.unified { 0 } else { FLOAT * pixels },
        ..Held::default()
    };
    StageMemory { what: "encoding clips", how, held: on_device(job, held) }
}

fn texts(job: &Job, free: Free) -> (usize, StageMemory) {
    let most = job.prompts.clamp(1, CAPTIONS_AT_ONCE);
    let ways = (1..=most).rev().map(|captions| (captions, texts_in(job, captions)));
    first_that_fits(job, free, ways).unwrap_or_else(|| (1, texts_in(job, 1)))
}

fn texts_in(job: &Job, captions: usize) -> StageMemory {
    let memory = TextMemory::of(&job.gemma, &job.connector, job.caption_tokens, !job.unified);
    let projection =
        2 * (job.gemma.hidden_states() * job.gemma.hidden_size * job.connector.inner_dim()) as u64;
    let contexts = FLOAT * (job.prompts * CONTEXT_TOKENS * job.connector.inner_dim()) as u64;
    let held = Held {
        weights: memory.weights,
        activations: memory.total(captions) - memory.weights + contexts,
        host: PROCESS + if job.unified { 0 } else { projection },
        ..Held::default()
    };
    let how = if captions == 1 { String::new() } else { format!("{captions} captions together") };
    StageMemory { what: "encoding prompts", how, held: on_device(job, held) }
}

fn training(job: &Job) -> StageMemory {
    let formats = job.formats();
    let step = step_size(job, job.bucket);
    let memory = step.memory_in(&formats, job.kept_bytes);
    let held = Held {
        weights: weights(job, &step),
        adapters: memory.adapters,
        activations: memory.kept + memory.working + memory.batch,
        // Adapters and moments pass the host when they are saved, once as tensors and once as a file.
        host: PROCESS + read_buffer(job) + 2 * step.state_bytes() + on_host(job, &step),
        ..Held::default()
    };
    let how = match hosted(job, &step) {
        0 => String::new(),
        blocks => format!("{blocks} of {} blocks on the host", step.layers),
    };
    StageMemory { what: "training", how, held: on_device(job, held) }
}

fn previews(job: &Job, bucket: Bucket, free: Free) -> ([usize; 2], StageMemory) {
    let formats = job.formats();
    let step = step_size(job, bucket);
    let (size, frames) = (bucket.size(), bucket.frames().get() as usize);
    let ways = PREVIEW_TILES.map(|[most_frames, side]| {
        let sides = [size.height, size.width].map(|pixels| (pixels as usize).min(side));
        let decoding = job.vae.decoding_bytes([frames.min(most_frames), sides[0], sides[1]]);
        let decoding = if job.unified { decoding } else { decoding + decoding / 2 };
        let frame = u64::from(size.width) * u64::from(size.height);
        let together = frames.min(most_frames) as u64 * frame;
        let is_cut = frames > most_frames || [size.height, size.width].iter().any(|own| *own as usize > side);
        // Frames that are put together from tiles: weighted, and in two parts and as one.
        let blending = if is_cut { 3 * FLOAT * 3 * together } else { 0 };
        // The source, what was decoded and the result in bytes, the mask, and frames on their way from the device.
        let video = 10 * frames as u64 * frame + if job.unified { 0 } else { FLOAT * 3 * together };
        let held = Held {
            weights: weights(job, &step) + job.vae.decoder_weight_bytes(),
            adapters: match job.purpose {
                // The gradients are gone.
                Purpose::Training { .. } => step.state_bytes(),
                Purpose::Inpainting { adapters } => adapters,
            },
            activations: step.forward_bytes(&formats).max(decoding + blending),
            host: PROCESS + read_buffer(job) + video + on_host(job, &step),
            ..Held::default()
        };
        let how = format!("tiles of {most_frames} frames and {side} pixels");
        ([most_frames, side], StageMemory { what: "previews", how, held: on_device(job, held) })
    });
    // Small tiles do not always take less: their frames are put together.
    let [first, rest @ ..] = ways;
    rest.into_iter().fold(first, |best, way| {
        let fits = |way: &([usize; 2], StageMemory)| free.holds(&way.1.held, job.unified);
        let total = |way: &([usize; 2], StageMemory)| way.1.held.device() + way.1.held.host;
        if fits(&best) || (!fits(&way) && total(&best) <= total(&way)) { best } else { way }
    })
}

/// With what a GPU takes besides.
fn on_device(job: &Job, held: Held) -> Held {
    let overhead = if job.unified { 0 } else { CONTEXT + held.activations / SLACK };
    Held { overhead, ..held }
}

fn step_size(job: &Job, bucket: Bucket) -> StepSize {
    let size = StepSize::new(&job.transformer, job.rank.get(), bucket.latent_grid().tokens(), CONTEXT_TOKENS);
    match job.purpose {
        Purpose::Training { accumulation } => StepSize { accumulation: accumulation as u64, ..size },
        Purpose::Inpainting { .. } => size,
    }
}

/// The transformer's weights on the device: blocks that stay on the host have room for one at work and the next.
fn weights(job: &Job, step: &StepSize) -> u64 {
    let hosted = hosted(job, step);
    let blocks = step.layers - hosted + hosted.min(2);
    step.outer_weights(job.base) + blocks * step.block_weights(job.base)
}

/// The weights of blocks that stay on the host.
fn on_host(job: &Job, step: &StepSize) -> u64 {
    hosted(job, step) * step.block_weights(job.base)
}

/// How many blocks wait on the host; none where that is the device.
fn hosted(job: &Job, step: &StepSize) -> u64 {
    if job.unified { 0 } else { (job.offload as u64).min(step.layers) }
}

/// Settings with which `job` fits into what is free, the fewest changes first.
pub(super) fn remedies(job: &Job, free: Free) -> Vec<String> {
    let mut found: Vec<(usize, String)> = Vec::new();
    for base in more_compact(job.base) {
        let fitting = smaller(&Job { base, ..job.clone() })
            .into_iter()
            .find_map(|(sizes, changed)| least_offload(&changed, free).map(|offload| (sizes, offload)));
        let Some((sizes, offload)) = fitting else { continue };
        let mut settings = Vec::new();
        settings.extend((base != job.base).then(|| format!("--base-precision {base}")));
        settings.extend((offload != job.offload).then(|| format!("--offload {offload}")));
        settings.extend(sizes);
        found.push((settings.len(), settings.join(" ")));
    }
    found.sort_by_key(|(changes, _)| *changes);
    found.into_iter().map(|(_, settings)| settings).collect()
}

/// The job itself, and the same with smaller clips, smaller previews or both, each with the settings for it; the fewest
/// first, and of as many the largest sizes.
fn smaller(job: &Job) -> Vec<(Vec<String>, Job)> {
    let setting = |field: &str, name: Option<&str>| name.map(|name| format!("--set {field}={name}"));
    let shown = |name| setting("validation_resolution", name);
    let mut found = Vec::new();
    if let Purpose::Inpainting { .. } = job.purpose {
        for (name, bucket) in smaller_sizes(job.bucket) {
            found.push((Vec::from_iter(shown(name)), Job { bucket, preview: Some(bucket), ..job.clone() }));
        }
        return found;
    }
    let previews: Vec<(Option<&str>, Option<Bucket>)> = match job.preview {
        None => vec![(None, None)],
        Some(preview) => smaller_sizes(preview).map(|(name, bucket)| (name, Some(bucket))).collect(),
    };
    for (name, bucket) in smaller_sizes(job.bucket) {
        for (preview_name, preview) in &previews {
            let settings = setting("resolution", name).into_iter().chain(shown(*preview_name));
            found.push((settings.collect(), Job { bucket, preview: *preview, ..job.clone() }));
        }
    }
    found.sort_by_key(|(settings, _): &(Vec<String>, Job)| settings.len());
    found
}

/// The precision itself, and those that take less.
fn more_compact(base: BasePrecision) -> impl Iterator<Item = BasePrecision> {
    BasePrecision::ALL.into_iter().skip_while(move |precision| *precision != base)
}

/// The size itself, and the smaller ones of the service in its aspect, the largest first.
fn smaller_sizes(bucket: Bucket) -> impl Iterator<Item = (Option<&'static str>, Bucket)> {
    let size = bucket.size();
    let aspect = match size.width.cmp(&size.height) {
        Ordering::Greater => AspectRatio::Wide,
        Ordering::Equal => AspectRatio::Square,
        Ordering::Less => AspectRatio::Tall,
    };
    let presets = [("high", Resolution::High), ("medium", Resolution::Medium), ("low", Resolution::Low)];
    let presets =
        presets.map(|(name, resolution)| (Some(name), Bucket::preset(resolution, aspect, bucket.frames())));
    let area = |bucket: Bucket| bucket.size().width * bucket.size().height;
    let smaller = presets.into_iter().filter(move |(_, preset)| area(*preset) < area(bucket));
    [(None, bucket)].into_iter().chain(smaller)
}

/// The fewest blocks on the host, and no fewer than asked for, with which the job fits.
fn least_offload(job: &Job, free: Free) -> Option<usize> {
    let most = if job.unified { job.offload } else { job.transformer.num_layers };
    let fits = |offload: &usize| planned(&Job { offload: *offload, ..job.clone() }, free).misfit().is_none();
    (job.offload..=most.max(job.offload)).find(fits)
}
