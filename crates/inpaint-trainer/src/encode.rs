//! Fitted clips become latents and contexts on disk. The encoders, and their memory, end here.

use std::path::Path;

use lora_train::{CacheEntry, Digest, DigestBuilder, LatentCache, LatentCacheWriter};
use ltx_model::{
    Checkpoint, ConnectorConfig, ModelError, TextEncoder, VideoEncoder, pixels_to_tensor, to_host,
};
use ndarray::{Array2, Array4};
use tensor_batch::{Bucket, Caption, ClipSource, FittedClip};

use crate::{
    Device, Disk, RunError, Stage, Watch, clips::FittedClips, debug_dataset::DebugDataset,
    disk::latent_cache_bytes,
};

/// What the encoders take besides the clips.
pub(crate) struct Encoders<'a> {
    pub(crate) checkpoint: &'a Checkpoint,
    pub(crate) text_encoder: &'a Path,
    pub(crate) device: &'a Device,
    pub(crate) trigger: &'a str,
}

impl Encoders<'_> {
    /// Encodes every clip and every distinct prompt into a cache in `folder`. Only one of the two encoders is in
    /// memory at a time.
    pub(crate) fn encode(
        &self,
        clips: &FittedClips,
        folder: &Path,
        mut debug: Option<&mut DebugDataset>,
        watch: &mut Watch<'_>,
    ) -> Result<LatentCache, RunError> {
        let cache = LatentCacheWriter::open(folder).map_err(|e| RunError::of(Stage::EncodeClips, e))?;
        let mut prompts = Vec::new();
        let mut entries = Vec::new();
        watch.stage(Stage::EncodeClips, clips.len(), |watch| {
            let encoder = VideoEncoder::load(self.checkpoint, self.device).map_err(failed)?;
            for index in 0..clips.len() {
                let fitted = clips.get(index).map_err(|e| RunError::of(Stage::EncodeClips, e))?;
                let latents = self.latents(&encoder, &fitted)?;
                let prompt = number(&mut prompts, Caption::prompt(self.trigger, fitted.caption()));
                let stem = fitted.stem().as_str().to_owned();
                let entry = CacheEntry { stem, example: key("clip", index), context: key("prompt", prompt) };
                cache
                    .write_example(&entry.example, &latents, fitted.latent_mask(), fitted.clip().rate())
                    .map_err(|e| RunError::of(Stage::EncodeClips, e))?;
                entries.push(entry);
                if let Some(debug) = debug.as_deref_mut() {
                    debug.add(&fitted)?;
                }
                watch.done(index + 1)?;
            }
            Ok(())
        })?;
        let contexts = self.contexts(&prompts, watch)?;
        let mut contexts = contexts.iter().enumerate();
        let written = contexts.try_for_each(|(i, context)| cache.write_context(&key("prompt", i), context));
        written.and_then(|()| cache.finish(entries)).map_err(|e| RunError::of(Stage::EncodePrompts, e))
    }

    /// Normalised latents `[128, F', H', W']`.
    fn latents(&self, encoder: &VideoEncoder, fitted: &FittedClip) -> Result<Array4<f32>, RunError> {
        let latents = encoder.encode(pixels_to_tensor(fitted.clip(), self.device));
        let (values, [_, channels, frames, height, width]) = to_host(latents);
        let latents = Array4::from_shape_vec([channels, frames, height, width], values);
        latents.map_err(|e| RunError::Failed { stage: Stage::EncodeClips, source: e.into() })
    }

    /// The context `[L, D]` of every prompt.
    fn contexts(&self, prompts: &[String], watch: &mut Watch<'_>) -> Result<Vec<Array2<f32>>, RunError> {
        watch.stage(Stage::EncodePrompts, prompts.len(), |watch| {
            let encoder = TextEncoder::load(self.text_encoder, self.checkpoint, self.device)
                .map_err(|e| RunError::of(Stage::EncodePrompts, e))?;
            let mut stopped = None;
            let contexts =
                encoder.encode(prompts, |done| stopped = watch.done(done).err()).map_err(failed)?;
            if let Some(stopped) = stopped {
                return Err(stopped);
            }
            let host = |(values, shape)| Array2::from_shape_vec(shape, values);
            let contexts = contexts.into_iter().map(to_host).map(host).collect::<Result<_, _>>();
            contexts.map_err(|e| RunError::Failed { stage: Stage::EncodePrompts, source: e.into() })
        })
    }
}

/// Fails if the cache of so many clips has no room on the disk of `folder`.
pub(crate) fn check_room(
    clips: usize,
    bucket: Bucket,
    checkpoint: &Checkpoint,
    folder: &Path,
    disk: Disk,
) -> Result<(), RunError> {
    let context_width = ConnectorConfig::of(checkpoint).map_err(failed)?.inner_dim();
    let room = disk.need(folder, latent_cache_bytes(clips, bucket, context_width));
    room.map_err(|e| RunError::of(Stage::EncodeClips, e))
}

fn failed(error: ModelError) -> RunError {
    RunError::of(Stage::EncodeClips, error)
}

/// What a file of the cache is called: the folder is this run's own, so a number will do.
fn key(kind: &str, number: usize) -> Digest {
    DigestBuilder::new().part(kind).part(number.to_le_bytes()).finish()
}

/// The place of `prompt` in the list, where it is put if it is new.
fn number(prompts: &mut Vec<String>, prompt: String) -> usize {
    prompts.iter().position(|known| *known == prompt).unwrap_or_else(|| {
        prompts.push(prompt);
        prompts.len() - 1
    })
}
