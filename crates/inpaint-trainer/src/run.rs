//! The stages composed: an archive becomes a LoRA.

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use billing::CompletedSteps;
use lora_train::LatentCacheWriter;
use ltx_model::{Checkpoint, TextEncoder, Tokenizer, Transformer, VideoDecoder, VideoEncoder};
use tensor_batch::Bucket;

use crate::{
    Answer, BasePrecision, Detail, Device, FitReport, FrameSnap, Limits, OutFiles, RunError, Stage,
    TrainOptions, TrainRequest, Warning, Watch,
    clips::{FittedClips, fit},
    debug_dataset::DebugDataset,
    doctor,
    encode::{self, Data, Encoders},
    example::Fit,
    identity::Identity,
    memory,
    out::Work,
    page::{Page, Stand, Strips},
    publish::{self, Publication},
    sheet,
    stored::Stored,
    timings::Timings,
    training::{self, Training},
    unfinished::Unfinished,
    validation,
};

/// Where a run takes its model from and puts its results: the operator's side, not the user's.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The checkpoint: transformer, VAE and text projection in one file.
    pub checkpoint: PathBuf,
    /// The folder of the Gemma text encoder.
    pub text_encoder: PathBuf,
    /// What the adapters are said to belong to.
    pub base_model: String,
    /// Where everything is computed.
    pub device: Device,
    /// How the transformer's frozen weights are kept; [`BasePrecision::default_on`] the device unless there is a
    /// reason.
    pub base_precision: BasePrecision,
    /// How many of the transformer's blocks wait on the host and come to the device when their turn comes; 0 unless
    /// memory is short.
    pub offload: usize,
    /// Where the results are put. An earlier run's are set aside, unless it is resumed.
    pub out: PathBuf,
    /// Go on with the unfinished run in `out`. Request, options and data must be what they were; how often the run
    /// is kept and evaluated may change.
    pub resume: bool,
    /// What the run may take.
    pub limits: Limits,
}

/// A request whose data are in order. Its clips lie in a folder that is gone when this is dropped.
#[derive(Debug)]
pub struct Survey {
    /// What is, or would be, trained on.
    pub report: FitReport,
    clips: FittedClips,
    bucket: Bucket,
    _work: Work,
}

impl Survey {
    /// Writes a contact sheet to `path`, a PNG file: of every example the first, the middle and the last frame as
    /// they are trained on, what is regenerated tinted, and its latent cells outlined.
    ///
    /// # Errors
    /// If a clip cannot be read any more, or the file cannot be written.
    pub fn write_sheet(&self, path: &Path, watch: &mut Watch<'_>) -> Result<(), RunError> {
        sheet::write(&self.clips, &self.report, self.bucket, path, watch)
    }
}

/// A finished run.
#[derive(Debug)]
pub struct Outcome {
    /// What was trained on.
    pub report: FitReport,
    /// What is billed.
    pub completed: CompletedSteps,
    /// What was made.
    pub files: OutFiles,
    /// Where the results of an earlier run were set aside.
    pub set_aside: Option<PathBuf>,
}

/// Does everything up to the encoders: fetches, unpacks, decodes, fits. Works in a folder of its own inside
/// `folder`, which is gone afterwards. Costs 0 units.
///
/// # Errors
/// [`RunError::Rejected`] with every fault of the data.
pub fn check(
    request: &TrainRequest,
    options: &TrainOptions,
    limits: &Limits,
    folder: &Path,
    watch: &mut Watch<'_>,
) -> Result<Survey, RunError> {
    let work = Work::within(folder)?;
    let Prepared { clips, report, .. } = prepare(request, options, limits, &work, watch)?;
    Ok(Survey { report, clips, bucket: request.bucket(), _work: work })
}

/// Trains what `request` asks for. Until it is done, the folder of the results holds the run's state; a run that was
/// interrupted or killed can be resumed from it, and ends with the same LoRA, byte for byte.
///
/// On the CPU, steps are shared among the threads of rayon's global pool. Called from one of these (as
/// `rayon::ThreadPoolBuilder::use_current_thread` makes of the calling thread), they are some 4 % faster: nobody need be
/// woken for their small parts.
///
/// # Errors
/// A rejected request says all that is wrong and leaves the results of earlier runs where they are; so do failures
/// before the first clip is encoded. A resumed run is rejected if there is none to go on with, or if it is made of
/// anything else than before.
pub fn run(
    request: &TrainRequest,
    options: &TrainOptions,
    settings: &Settings,
    watch: &mut Watch<'_>,
) -> Result<Outcome, RunError> {
    watch.begin();
    let base = open_base(request, settings)?;
    let resumed = settings.resume.then(|| Unfinished::reopen(&settings.out)).transpose()?;
    let work = Work::beside(&settings.out)?;
    let prepared = prepare(request, options, &settings.limits, &work, watch)?;
    let Prepared { clips, samples, stored, mut report } = prepared;
    let strips = Strips::of(&clips, request.bucket(), watch)?;
    let plan = training::plan(request, options);
    let purpose = memory::Purpose::Training { accumulation: plan.accumulation };
    let job = memory::job(purpose, request, settings, &base, [&clips, &samples]);
    let job = job.map_err(|e| RunError::of(Stage::EncodeClips, e))?;
    let memory = memory::planned(&job, settings, watch);
    let memory = memory.map_err(|e| RunError::of(Stage::EncodeClips, e))?;
    let data = Data { clips: &clips, samples: &samples, stored: stored.as_ref(), bucket: request.bucket() };
    let identity = Identity::of(&data, request, settings).map_err(|error| error.with_report(&report))?;
    let fingerprint = identity.fingerprint(&plan, request, options);
    let (unfinished, set_aside) = match resumed {
        Some(unfinished) => {
            unfinished.check(&fingerprint).map_err(|error| error.with_report(&report))?;
            (unfinished, None)
        }
        None => {
            encode::check_room(&identity, request, &base, work.path(), settings.limits.disk)?;
            Unfinished::begin(&settings.out, &fingerprint)?
        }
    };

    let debug = || DebugDataset::create(work.path().join("debug"), request.bucket(), &report.examples);
    let mut debug = request.debug_dataset().then(debug).transpose()?;
    let encoders = Encoders {
        checkpoint: &base,
        text_encoder: &settings.text_encoder,
        device: &settings.device,
        cuts: memory.cuts,
    };
    let cache =
        LatentCacheWriter::open(&unfinished.latents()).map_err(|e| RunError::of(Stage::EncodeClips, e))?;
    let latents = encoders.encode(&data, &identity, cache, debug.as_mut(), watch)?;
    if let Some(debug) = &mut debug {
        let tokenizer = Tokenizer::open(&settings.text_encoder);
        let tokenizer = tokenizer.map_err(|e| RunError::of(Stage::EncodePrompts, e))?;
        debug.complete(&latents, &identity, &tokenizer, request, options, &report)?;
    }
    let page = Page {
        request,
        options,
        base_model: &settings.base_model,
        model_version: base.model_version(),
        models: identity.models().map(|digest| digest.to_string()),
        strips,
        out: &settings.out,
        earlier: Timings::read(&unfinished.timings()),
        timings: unfinished.timings(),
    };
    let training = Training {
        base: &base,
        page: &page,
        cuts: memory.cuts,
        request,
        samples: &samples,
        identity: &identity,
        plan: &plan,
        options,
        settings,
        fingerprint: &fingerprint,
        unfinished: &unfinished,
    };
    let lora = training.run(&latents, &mut report, watch)?;
    let files = watch.stage(Stage::Publish, 1, |watch| {
        let timings = page.earlier.with(&watch.spent());
        page.publish(&Stand::finished(&lora, &report, timings))?;
        let base_model = &settings.base_model;
        Publication { request, options, base_model, report: &report }.write(
            &lora,
            debug.as_ref(),
            &settings.out,
        )
    })?;
    let completed = CompletedSteps::finished(request.number_of_steps());
    let outcome = Ok(Outcome { report, completed, files, set_aside });
    write_outcome(&outcome, request, &settings.out)?;
    unfinished.finish(&work)?;
    outcome
}

/// Fails early where the operator's side is wrong: nothing is fetched for a checkpoint that cannot be used.
fn open_base(request: &TrainRequest, settings: &Settings) -> Result<Checkpoint, RunError> {
    let failed = |e| RunError::of(Stage::Train, e);
    let base = Checkpoint::open(&settings.checkpoint).map_err(failed)?;
    ltx_model::check_device(&settings.device).map_err(failed)?;
    Transformer::check(&base, &settings.device).map_err(failed)?;
    VideoEncoder::check(&base, &settings.device).map_err(failed)?;
    TextEncoder::check(&settings.text_encoder, &base, &settings.device).map_err(failed)?;
    if !request.validation().is_empty() {
        VideoDecoder::check(&base, &settings.device).map_err(failed)?;
    }
    Ok(base)
}

/// Data in order, before the encoders.
struct Prepared {
    clips: FittedClips,
    /// The samples that previews are made of.
    samples: FittedClips,
    /// The examples in place of clips, if they come encoded.
    stored: Option<Stored>,
    report: FitReport,
}

/// Everything up to the encoders.
fn prepare(
    request: &TrainRequest,
    options: &TrainOptions,
    limits: &Limits,
    work: &Work,
    watch: &mut Watch<'_>,
) -> Result<Prepared, RunError> {
    let mut report = FitReport::default();
    for snap in request.warnings() {
        note(&mut report, Warning::new(snap.field, FrameSnap::KIND, snap.to_string()), watch);
    }
    let archive = fetch(request, limits, work, watch).map_err(|error| error.with_report(&report))?;
    let stored = Stored::open(&archive, request, options, limits)?;
    let (clips, mut report) = match &stored {
        Some(stored) => {
            report.examples = stored.reports()?;
            (FittedClips::new(Vec::new(), limits), report)
        }
        None => fit_all(&archive, request, options, limits, work, report, watch)?,
    };
    let mut samples = Vec::new();
    if !request.validation().is_empty() {
        samples = watch.stage(Stage::Validation, request.validation().len(), |watch| {
            validation::check(request, options.latent_rule(), work.path(), limits, &mut report, watch)
        })?;
    }
    let (held_out, examples) = (options.holdout_examples() as usize, report.examples.len());
    if held_out >= examples {
        return Err(none_left(held_out, examples).with_report(&report));
    }
    report.passes = Some(doctor::passes(request, options, examples - held_out));
    for warning in doctor::examine(request, &report) {
        note(&mut report, warning, watch);
    }
    Ok(Prepared { clips, samples: FittedClips::new(samples, limits), stored, report })
}

/// Unpacks an archive of clips, and surveys them.
fn fit_all(
    archive: &Path,
    request: &TrainRequest,
    options: &TrainOptions,
    limits: &Limits,
    work: &Work,
    mut report: FitReport,
    watch: &mut Watch<'_>,
) -> Result<(FittedClips, FitReport), RunError> {
    let examples = unpack(archive, limits, work, &mut report, watch);
    let examples = examples.map_err(|error| error.with_report(&report))?;
    let how = Fit {
        bucket: request.bucket(),
        frame_rate: request.frame_rate(),
        auto_scale: request.auto_scale_input(),
        scenes_above: request.scenes_above(),
        latent_rule: options.latent_rule(),
        trigger: request.trigger_phrase().to_owned(),
    };
    watch.stage(Stage::Survey, examples.len(), |watch| fit(examples, report, &how, limits, watch))
}

fn none_left(held_out: usize, examples: usize) -> RunError {
    let msg =
        format!("no example is left to train on: {held_out} are to be held out, and there are {examples}");
    let detail = Detail::new("value_error", "none-left-to-train-on", msg);
    RunError::rejected(vec![detail.within("holdout_examples").within("body")])
}

/// Where the archive is, once it is here.
fn fetch(
    request: &TrainRequest,
    limits: &Limits,
    work: &Work,
    watch: &mut Watch<'_>,
) -> Result<PathBuf, RunError> {
    watch.stage(Stage::Fetch, 0, |watch| {
        let target = work.path().join("archive.zip");
        let mut progress = |bytes| match watch.done(bytes as usize) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        };
        let limit = limits.archive.archive_bytes;
        let fetched = limits.fetcher.fetch(request.training_data_url(), &target, limit, &mut progress);
        fetched.map_err(|e| e.ends(Stage::Fetch))
    })
}

/// The examples of the archive, unpacked.
fn unpack(
    archive: &Path,
    limits: &Limits,
    work: &Work,
    report: &mut FitReport,
    watch: &mut Watch<'_>,
) -> Result<Vec<dataset_zip::Example>, RunError> {
    let file = std::fs::File::open(archive).map_err(RunError::io(Stage::Fetch, archive))?;
    watch.stage(Stage::Unpack, 1, |watch| {
        let examples = dataset_zip::open(file, &limits.archive).map_err(rejected)?;
        for warning in examples.warnings() {
            let warning = Warning::new(&warning.name, warning.kind, &warning.message);
            watch.warn(&warning);
            report.warnings.push(warning);
        }
        let room = limits.disk.need(work.path(), examples.bytes());
        room.map_err(|e| RunError::of(Stage::Unpack, e))?;
        let unpacked = examples.unpack(&work.path().join("media")).map_err(rejected)?;
        watch.done(1)?;
        Ok(unpacked)
    })
}

fn note(report: &mut FitReport, warning: Warning, watch: &mut Watch<'_>) {
    watch.warn(&warning);
    report.warnings.push(warning);
}

/// Every fault of an archive, or the failure that ended its reading.
fn rejected(error: dataset_zip::Rejected) -> RunError {
    use tensor_batch::{Blame, Fault};
    if error.fault() == Fault::Service {
        return RunError::of(Stage::Unpack, error);
    }
    let detail = |fault: &dataset_zip::ArchiveError| crate::Detail::of(["body", "training_data_url"], fault);
    RunError::rejected(error.faults().map(detail).collect())
}

fn write_outcome(
    outcome: &Result<Outcome, RunError>,
    request: &TrainRequest,
    out: &Path,
) -> Result<(), RunError> {
    let answer = Answer::of_run(outcome, request.estimated_units());
    let json = serde_json::to_vec_pretty(&answer)
        .map_err(|e| RunError::Failed { stage: Stage::Publish, source: e.into() })?;
    publish::write(&out.join(publish::OUTCOME), &json)
}
