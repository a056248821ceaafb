//! What a run is made of: digests of its data and its models.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use lora_train::{CacheEntry, Digest, DigestBuilder, Fingerprint, TrainPlan};
use tensor_batch::Caption;

use crate::{
    BasePrecision, RunError, Settings, Stage, TrainOptions, TrainRequest, clips::FittedClips, encode::Data,
};

/// Changes when clips are fitted or encoded in another way, so that older work is not taken up.
const ENCODING: &[u8] = b"encoding 1";

/// How many places of a model file are looked at, and how many bytes of each. Reading 50 GB would take minutes.
const PLACES: u64 = 128;
const BLOCK: u64 = 64 << 10;

/// Fields of the request that are not compared: where the data lie (their content is compared), and what the plan has
/// under another name.
const NOT_COMPARED: &[&str] = &["training_data_url", "number_of_steps"];

/// Options that do not change what is trained.
const PACE: &[&str] = &["snapshot_every", "fixed_loss_every", "preview_every", "preview_loras"];

/// The examples of a run and its models, by content.
#[derive(Debug)]
pub(crate) struct Identity {
    checkpoint: Digest,
    text_encoder: Digest,
    precision: BasePrecision,
    /// The examples, in order.
    pub(crate) entries: Vec<CacheEntry>,
    /// The samples of previews, in order, and what previews shall not show; none without samples.
    pub(crate) samples: Vec<CacheEntry>,
    pub(crate) negative: Option<Digest>,
    /// Every distinct prompt with the name of its context.
    pub(crate) prompts: Vec<(Digest, String)>,
}

impl Identity {
    /// Digests clips, masks and models. Examples that come encoded bring their own digests.
    pub(crate) fn of(data: &Data<'_>, request: &TrainRequest, settings: &Settings) -> Result<Self, RunError> {
        let checkpoint = sampled(std::slice::from_ref(&settings.checkpoint))
            .map_err(RunError::io(Stage::Survey, &settings.checkpoint))?;
        let folder = &settings.text_encoder;
        let text_encoder =
            files(folder).and_then(|files| sampled(&files)).map_err(RunError::io(Stage::Survey, folder))?;
        let mut identity = Self {
            checkpoint,
            text_encoder,
            precision: settings.base_precision,
            entries: Vec::new(),
            samples: Vec::new(),
            negative: None,
            prompts: Vec::new(),
        };
        identity.entries = match data.stored {
            Some(stored) => {
                stored.check_models(checkpoint, text_encoder)?;
                stored.entries()
            }
            None => identity.entries_of(data.clips, request.trigger_phrase())?,
        };
        // Prompts of samples are taken as they are.
        identity.samples = identity.entries_of(data.samples, "")?;
        if !identity.samples.is_empty() {
            identity.negative = Some(identity.context(request.validation_negative_prompt().to_owned()));
        }
        Ok(identity)
    }

    /// What the checkpoint and the text encoder are, by content.
    pub(crate) fn models(&self) -> [Digest; 2] {
        [self.checkpoint, self.text_encoder]
    }

    fn entries_of(&mut self, clips: &FittedClips, trigger: &str) -> Result<Vec<CacheEntry>, RunError> {
        let mut entries = Vec::new();
        for example in clips.examples() {
            let prompt = Caption::prompt(trigger, example.caption());
            let key = DigestBuilder::new().part(ENCODING).part(self.checkpoint.as_bytes());
            let key = example.digest(key).map_err(|e| RunError::of(Stage::Survey, e))?;
            let context = self.context(prompt);
            entries.push(CacheEntry { stem: example.stem().as_str().to_owned(), example: key, context });
        }
        Ok(entries)
    }

    fn context(&mut self, prompt: String) -> Digest {
        let models = [self.checkpoint, self.text_encoder];
        let key = DigestBuilder::new().part(ENCODING).part(models[0].as_bytes()).part(models[1].as_bytes());
        let key = key.part(&prompt).finish();
        if self.prompts.iter().all(|(known, _)| *known != key) {
            self.prompts.push((key, prompt));
        }
        key
    }

    /// What a run that goes on must agree in.
    pub(crate) fn fingerprint(
        &self,
        plan: &TrainPlan,
        request: &TrainRequest,
        options: &TrainOptions,
    ) -> Fingerprint {
        let mut fingerprint = Fingerprint::of(plan);
        for (fields, skipped) in [(request.to_json(), NOT_COMPARED), (options.to_json(), PACE)] {
            for (name, value) in fields.as_object().into_iter().flatten() {
                if !skipped.contains(&name.as_str()) && !fingerprint.has(name) {
                    fingerprint = fingerprint.with(name, value);
                }
            }
        }
        fingerprint = fingerprint
            .with("bucket", request.bucket())
            .with("base model", self.checkpoint)
            .with("base precision", self.precision)
            .with("text encoder", self.text_encoder);
        for (what, entries) in [("example", &self.entries), ("sample", &self.samples)] {
            for entry in entries {
                let content =
                    DigestBuilder::new().part(entry.example.as_bytes()).part(entry.context.as_bytes());
                let name = tensor_batch::Stem::new(entry.stem.clone());
                fingerprint = fingerprint.with(format!("{what} `{name}`"), content.finish());
            }
        }
        fingerprint
    }
}

/// The files of a folder, by name.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
    let mut files = entries.collect::<io::Result<Vec<_>>>()?;
    files.retain(|path| path.is_file());
    files.sort();
    Ok(files)
}

/// A digest of large files: their lengths, and blocks spread over each from its first byte to its last. Weights that
/// were trained further differ everywhere.
fn sampled(files: &[PathBuf]) -> io::Result<Digest> {
    let mut digest = DigestBuilder::new();
    for path in files {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        digest = digest.part(length.to_le_bytes());
        if length <= PLACES * BLOCK {
            digest = digest.file(path)?;
            continue;
        }
        let mut block = vec![0; BLOCK as usize];
        for place in 0..PLACES {
            let start = u128::from(length - BLOCK) * u128::from(place) / u128::from(PLACES - 1);
            file.seek(SeekFrom::Start(start as u64))?;
            file.read_exact(&mut block)?;
            digest = digest.part(&block);
        }
    }
    Ok(digest.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_told_by_its_first_bytes_its_last_and_its_length() {
        let dir = tempfile::tempdir().unwrap();
        for length in [1000, 9 << 20] {
            let digest = |name: &str, bytes: &[u8]| {
                let path = dir.path().join(name);
                fs::write(&path, bytes).unwrap();
                sampled(&[path]).unwrap()
            };
            let bytes = vec![7; length];
            let before = digest("a", &bytes);
            assert_eq!(digest("elsewhere", &bytes), before, "only the content counts");
            for at in [0, length - 1] {
                let mut other = bytes.clone();
                other[at] = 8;
                assert_ne!(digest("b", &other), before, "byte {at} of {length}");
            }
            assert_ne!(digest("c", &bytes[1..]), before);
        }
    }
}
