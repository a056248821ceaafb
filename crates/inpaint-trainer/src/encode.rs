//! Fitted clips become latents and contexts on disk. The encoders, and their memory, end here.

use std::path::Path;

use lora_train::{Digest, LatentCache, LatentCacheWriter};
use ltx_model::{
    Checkpoint, ConnectorConfig, ModelError, TextEncoder, Tile, VideoEncoder, pixels_to_tensor, to_host,
};
use ndarray::{Array2, Array4};
use tensor_batch::{Bucket, ClipSource, FittedClip};

use crate::{
    Cuts, Device, Disk, RunError, Stage, Watch, clips::FittedClips, debug_dataset::DebugDataset,
    disk::latent_cache_bytes, identity::Identity,
};

/// What the encoders take besides the clips.
pub(crate) struct Encoders<'a> {
    pub(crate) checkpoint: &'a Checkpoint,
    pub(crate) text_encoder: &'a Path,
    pub(crate) device: &'a Device,
    /// How the work is cut so that it fits into memory.
    pub(crate) cuts: Cuts,
}

impl Encoders<'_> {
    /// Encodes every clip and every distinct prompt into a cache in `folder`, except for what is there already. Only
    /// one of the two encoders is in memory at a time.
    pub(crate) fn encode(
        &self,
        clips: &FittedClips,
        identity: &Identity,
        folder: &Path,
        mut debug: Option<&mut DebugDataset>,
        watch: &mut Watch<'_>,
    ) -> Result<LatentCache, RunError> {
        let cache = LatentCacheWriter::open(folder).map_err(|e| RunError::of(Stage::EncodeClips, e))?;
        watch.stage(Stage::EncodeClips, clips.len(), |watch| {
            let mut loaded = None;
            for (index, entry) in identity.entries.iter().enumerate() {
                let cached = cache.has_example(&entry.example);
                if !cached || debug.is_some() {
                    let fitted = clips.get(index).map_err(|e| RunError::of(Stage::EncodeClips, e))?;
                    if !cached {
                        let encoder = match &mut loaded {
                            Some(encoder) => encoder,
                            none => {
                                none.insert(VideoEncoder::load(self.checkpoint, self.device).map_err(failed)?)
                            }
                        };
                        self.encode_clip(encoder, &fitted, &entry.example, &cache)?;
                    }
                    if let Some(debug) = debug.as_deref_mut() {
                        debug.add(&fitted)?;
                    }
                }
                watch.done(index + 1)?;
            }
            Ok(())
        })?;
        self.encode_prompts(identity, &cache, watch)?;
        cache.finish(identity.entries.clone()).map_err(|e| RunError::of(Stage::EncodePrompts, e))
    }

    fn encode_clip(
        &self,
        encoder: &VideoEncoder,
        fitted: &FittedClip,
        key: &Digest,
        cache: &LatentCacheWriter,
    ) -> Result<(), RunError> {
        let latents = self.latents(encoder, fitted)?;
        let written = cache.write_example(key, &latents, fitted.latent_mask(), fitted.clip().rate());
        written.map_err(|e| RunError::of(Stage::EncodeClips, e))
    }

    /// Normalised latents `[128, F', H', W']`.
    fn latents(&self, encoder: &VideoEncoder, fitted: &FittedClip) -> Result<Array4<f32>, RunError> {
        let pixels = pixels_to_tensor(fitted.clip(), self.device);
        let latents = match self.cuts.tile {
            None => encoder.encode(pixels),
            Some([size, overlap]) => Tile::new(size, overlap)
                .and_then(|tile| encoder.encode_tiled_spatially(pixels, tile))
                .map_err(|e| RunError::of(Stage::EncodeClips, e))?,
        };
        let (values, [_, channels, frames, height, width]) = to_host(latents);
        let latents = Array4::from_shape_vec([channels, frames, height, width], values);
        latents.map_err(|e| RunError::Failed { stage: Stage::EncodeClips, source: e.into() })
    }

    /// The context `[L, D]` of every prompt that the cache does not have.
    fn encode_prompts(
        &self,
        identity: &Identity,
        cache: &LatentCacheWriter,
        watch: &mut Watch<'_>,
    ) -> Result<(), RunError> {
        watch.stage(Stage::EncodePrompts, identity.prompts.len(), |watch| {
            let missing = identity.prompts.iter().filter(|(key, _)| !cache.has_context(key));
            let (keys, prompts): (Vec<Digest>, Vec<String>) = missing.cloned().unzip();
            if prompts.is_empty() {
                return watch.done(identity.prompts.len());
            }
            let encoder = TextEncoder::load(self.text_encoder, self.checkpoint, self.device)
                .map_err(|e| RunError::of(Stage::EncodePrompts, e))?;
            let mut stopped = None;
            let progress = |done| stopped = watch.done(done).err();
            let contexts = encoder.encode_together(&prompts, self.cuts.captions, progress).map_err(failed)?;
            if let Some(stopped) = stopped {
                return Err(stopped);
            }
            for (key, context) in keys.iter().zip(contexts) {
                let (values, shape) = to_host(context);
                let context = Array2::from_shape_vec(shape, values)
                    .map_err(|e| RunError::Failed { stage: Stage::EncodePrompts, source: e.into() })?;
                cache.write_context(key, &context).map_err(|e| RunError::of(Stage::EncodePrompts, e))?;
            }
            Ok(())
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
