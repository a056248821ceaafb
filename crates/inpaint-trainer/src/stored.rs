//! Examples that an earlier run has encoded, in the archive that it wrote: `debug_dataset.zip`, fed back.
//!
//! What is read here is what [`DebugDataset`](crate::debug_dataset::DebugDataset) writes: `dataset.json`, and the file of
//! every example's latents, kept cells and context. Nothing else of the archive is looked at.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use lora_train::{CacheEntry, Digest, LatentCacheWriter, parse_latent_example};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tensor_batch::{Blame, Bucket, Fault, LatentExample, Stem};
use zip::ZipArchive;

use crate::{Detail, ExampleReport, Limits, RunError, TrainOptions, TrainRequest, event::StageWatch};

/// The file that says what an archive holds.
pub(crate) const INDEX: &str = "dataset.json";
/// The file of an example's latents, in its folder.
pub(crate) const LATENTS: &str = "latents.safetensors";
/// What this version writes and reads.
pub(crate) const FORMAT: &str = "inpaint dataset 1";

/// Bytes of the index, at most: some kilobytes an example.
const INDEX_BYTES: u64 = 64 << 20;
/// Bytes of an example's file beyond its cells, at most: the context, and a header.
const CONTEXT_BYTES: u64 = 64 << 20;

/// What `dataset.json` says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Index {
    pub(crate) format: String,
    /// What the latents were made with.
    pub(crate) checkpoint: Digest,
    /// What the contexts were made with.
    pub(crate) text_encoder: Digest,
    /// What was asked for, as far as it shows in latents, masks and contexts.
    pub(crate) made_with: Map<String, Value>,
    pub(crate) examples: Vec<IndexEntry>,
}

/// One example of an archive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct IndexEntry {
    /// Its folder in the archive.
    pub(crate) folder: String,
    #[serde(flatten)]
    pub(crate) entry: CacheEntry,
    /// What is known of it; an [`ExampleReport`].
    pub(crate) report: Value,
}

/// What of a request and its options shows in the latents, masks and contexts that are made for it.
pub(crate) fn made_with(request: &TrainRequest, options: &TrainOptions) -> Map<String, Value> {
    let options = options.to_json();
    let named =
        ["latent_rule", "mask_grow_pixels", "mask_grow_frames"].map(|name| (name, options[name].clone()));
    let data = [
        ("bucket", Value::from(request.bucket().to_string())),
        ("trigger_phrase", Value::from(request.trigger_phrase())),
    ];
    data.into_iter().chain(named).map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Why an archive of encoded examples cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum StoredError {
    #[error("the archive of encoded examples cannot be read: {reason}")]
    Unreadable { reason: String },
    #[error("`{file}` of the archive of encoded examples is damaged: {reason}")]
    Damaged { file: String, reason: String },
}

impl Blame for StoredError {
    fn fault(&self) -> Fault {
        Fault::Request
    }

    fn kind(&self) -> &'static str {
        "unreadable-latents"
    }
}

/// An archive of encoded examples.
#[derive(Debug)]
pub(crate) struct Stored {
    path: PathBuf,
    index: Index,
    bucket: Bucket,
}

impl Stored {
    /// The archive at `path`, if it is one of encoded examples and not one of clips.
    ///
    /// # Errors
    /// A rejection if it cannot be used, or was made for something else than `request` asks for, with every difference.
    pub(crate) fn open(
        path: &Path,
        request: &TrainRequest,
        options: &TrainOptions,
        limits: &Limits,
    ) -> Result<Option<Self>, RunError> {
        let Some(bytes) = index_of(path, limits) else { return Ok(None) };
        let index: Index = serde_json::from_slice(&bytes).map_err(|e| unreadable(e.to_string()))?;
        let mut faults = Vec::new();
        if index.format != FORMAT {
            return Err(unreadable(format!("its format is {:?}, expected {FORMAT:?}", index.format)));
        }
        if index.examples.is_empty() {
            return Err(unreadable("it holds no examples".to_owned()));
        }
        for (name, wanted) in made_with(request, options) {
            let found = index.made_with.get(&name).unwrap_or(&Value::Null);
            if *found != wanted {
                let msg = format!("the examples were encoded with {name} {found}, and {wanted} is asked for");
                faults.push(
                    Detail::new("value_error", "latents-differ", msg).within(name.as_str()).within("body"),
                );
            }
        }
        if request.debug_dataset() {
            let msg = "encoded examples are fed back, and they have no pictures to write out again";
            faults.push(
                Detail::new("value_error", "contradiction", msg).within("debug_dataset").within("body"),
            );
        }
        if !faults.is_empty() {
            return Err(RunError::rejected(faults));
        }
        Ok(Some(Self { path: path.to_owned(), index, bucket: request.bucket() }))
    }

    /// The examples, in order.
    pub(crate) fn entries(&self) -> Vec<CacheEntry> {
        self.index.examples.iter().map(|example| example.entry.clone()).collect()
    }

    /// What is known of them.
    pub(crate) fn reports(&self) -> Result<Vec<ExampleReport>, RunError> {
        let report = |example: &IndexEntry| {
            ExampleReport::from_json(&example.report).ok_or_else(|| {
                unreadable(format!("the report of `{}` is not whole", Stem::new(&*example.entry.stem)))
            })
        };
        self.index.examples.iter().map(report).collect()
    }

    /// Fails if the examples were encoded by other models.
    pub(crate) fn check_models(&self, checkpoint: Digest, text_encoder: Digest) -> Result<(), RunError> {
        let made = [
            ("checkpoint", self.index.checkpoint, checkpoint),
            ("text encoder", self.index.text_encoder, text_encoder),
        ];
        let differs = |(what, found, wanted): (&str, Digest, Digest)| {
            let msg =
                format!("the examples were encoded with another {what} ({found}, and this is {wanted})");
            let detail = Detail::new("value_error", "latents-differ", msg);
            (found != wanted).then(|| detail.within("training_data_url").within("body"))
        };
        let faults: Vec<Detail> = made.into_iter().filter_map(differs).collect();
        if faults.is_empty() { Ok(()) } else { Err(RunError::rejected(faults)) }
    }

    /// Puts the examples into a cache, except for what is there already.
    pub(crate) fn fill(
        &self,
        cache: &LatentCacheWriter,
        watch: &mut StageWatch<'_, '_>,
    ) -> Result<(), RunError> {
        let mut archive = open(&self.path).map_err(unreadable)?;
        for (done, example) in self.index.examples.iter().enumerate() {
            let CacheEntry { stem, example: key, context } = &example.entry;
            if !cache.has_example(key) || !cache.has_context(context) {
                let file = format!("{}/{LATENTS}", example.folder);
                let latents = self.read(&mut archive, &file, stem).map_err(|reason| {
                    rejected(&StoredError::Damaged { file: Stem::new(&*file).to_string(), reason })
                })?;
                let written = cache
                    .write_example(key, latents.latents(), latents.keep(), latents.rate())
                    .and_then(|()| cache.write_context(context, latents.context()));
                written.map_err(|e| RunError::of(crate::Stage::EncodeClips, e))?;
            }
            watch.done(done + 1)?;
        }
        Ok(())
    }

    fn read(&self, archive: &mut ZipArchive<File>, file: &str, stem: &str) -> Result<LatentExample, String> {
        let cells = 4 * 128 * self.bucket.latent_grid().tokens() as u64;
        let bytes = member(archive, file, 2 * cells + CONTEXT_BYTES)?;
        let example = parse_latent_example(bytes, stem)?;
        let (found, wanted) = (example.grid(), self.bucket.latent_grid());
        if found == wanted {
            Ok(example)
        } else {
            Err(format!("its grid is {:?}, expected {:?}", found.dims(), wanted.dims()))
        }
    }
}

/// The content of the index, if this is an archive that has one. Whatever else is wrong with it is found by whoever reads it
/// as an archive of clips.
fn index_of(path: &Path, limits: &Limits) -> Option<Vec<u8>> {
    let length = path.metadata().ok()?.len();
    let mut archive = open(path).ok().filter(|_| length <= limits.archive.archive_bytes)?;
    member(&mut archive, INDEX, INDEX_BYTES).ok()
}

fn open(path: &Path) -> Result<ZipArchive<File>, String> {
    let file = File::open(path).map_err(|e| e.to_string())?;
    ZipArchive::new(file).map_err(|e| e.to_string())
}

/// The content of a member of at most so many bytes.
fn member(archive: &mut ZipArchive<File>, name: &str, limit: u64) -> Result<Vec<u8>, String> {
    let member = archive.by_name(name).map_err(|e| e.to_string())?;
    let mut bytes = Vec::new();
    member.take(limit + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.len() as u64 > limit { Err(format!("it has more than {limit} bytes")) } else { Ok(bytes) }
}

fn unreadable(reason: String) -> RunError {
    rejected(&StoredError::Unreadable { reason })
}

fn rejected(error: &StoredError) -> RunError {
    RunError::rejected(vec![Detail::of(["body", "training_data_url"], error)])
}
