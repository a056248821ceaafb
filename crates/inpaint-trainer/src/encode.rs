//! Fitted clips become latents and contexts on disk. The encoders, and their memory, end here.

use std::path::Path;

use lora_train::{Digest, LatentCache, LatentCacheWriter};
use ltx_model::{
    Checkpoint, ConnectorConfig, ModelError, TextEncoder, Tile, VideoEncoder, pixels_to_tensor, to_host,
};
use ndarray::{Array2, Array4};
use tensor_batch::{Bucket, ClipSource, FittedClip};

use crate::{
    Cuts, Device, Disk, RunError, Stage, TrainRequest, Watch, clips::FittedClips,
    debug_dataset::DebugDataset, disk::latent_cache_bytes, identity::Identity, stored::Stored,
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
    /// Encodes every clip, every sample of previews and every distinct prompt into a cache, except for what is there
    /// already. Only one of the two encoders is in memory at a time.
    pub(crate) fn encode(
        &self,
        data: &Data<'_>,
        identity: &Identity,
        cache: LatentCacheWriter,
        mut debug: Option<&mut DebugDataset>,
        watch: &mut Watch<'_>,
    ) -> Result<LatentCache, RunError> {
        let total = identity.entries.len() + identity.samples.len();
        watch.stage(Stage::EncodeClips, total, |watch| {
            let mut vae = Vae { encoders: self, loaded: None, cache: &cache };
            if let Some(stored) = data.stored {
                stored.fill(&cache, watch)?;
            }
            for (index, entry) in identity.entries.iter().enumerate().take(data.clips.len()) {
                if debug.is_some() || !cache.has_example(&entry.example) {
                    let fitted = data.clips.get(index).map_err(|e| RunError::of(Stage::EncodeClips, e))?;
                    vae.encode(&fitted, &entry.example, None)?;
                    if let Some(debug) = debug.as_deref_mut() {
                        debug.add(&fitted, &data.clips.examples()[index])?;
                    }
                }
                watch.done(index + 1)?;
            }
            for (index, entry) in identity.samples.iter().enumerate().take(data.samples.len()) {
                if !cache.has_example(&entry.example) {
                    let fitted = data.samples.get(index).map_err(|e| RunError::of(Stage::EncodeClips, e))?;
                    vae.encode(&fitted, &entry.example, Some(data.bucket))?;
                }
                watch.done(identity.entries.len() + index + 1)?;
            }
            Ok(())
        })?;
        self.encode_prompts(identity, &cache, watch)?;
        cache.finish(identity.entries.clone()).map_err(|e| RunError::of(Stage::EncodePrompts, e))
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

/// What there is to encode.
pub(crate) struct Data<'a> {
    pub(crate) clips: &'a FittedClips,
    pub(crate) samples: &'a FittedClips,
    /// Examples that come encoded, in place of clips.
    pub(crate) stored: Option<&'a Stored>,
    /// What is trained at: samples that are larger are encoded in tiles, so that they need no more than clips do.
    pub(crate) bucket: Bucket,
}

/// The video encoder, which is loaded when the first clip needs it.
struct Vae<'a> {
    encoders: &'a Encoders<'a>,
    loaded: Option<VideoEncoder>,
    cache: &'a LatentCacheWriter,
}

impl Vae<'_> {
    /// Writes the latents of a clip, unless they are there; in tiles if it has more pixels than `whole`.
    fn encode(&mut self, fitted: &FittedClip, key: &Digest, whole: Option<Bucket>) -> Result<(), RunError> {
        if self.cache.has_example(key) {
            return Ok(());
        }
        let latents = self.latents(fitted, whole)?;
        let written = self.cache.write_example(key, &latents, fitted.latent_mask(), fitted.clip().rate());
        written.map_err(|e| RunError::of(Stage::EncodeClips, e))
    }

    /// Normalised latents `[128, F', H', W']`.
    fn latents(&mut self, fitted: &FittedClip, whole: Option<Bucket>) -> Result<Array4<f32>, RunError> {
        let Encoders { checkpoint, device, .. } = self.encoders;
        let encoder = match &mut self.loaded {
            Some(encoder) => encoder,
            none => none.insert(VideoEncoder::load(checkpoint, device).map_err(failed)?),
        };
        let pixels = pixels_to_tensor(fitted.clip(), device);
        let tokens = fitted.clip().latent_grid().tokens();
        let is_large = whole.is_some_and(|whole| tokens > whole.latent_grid().tokens());
        let latents = match self.encoders.cuts.tile.or(is_large.then_some(LARGE)) {
            None => encoder.encode(pixels),
            Some([size, overlap]) => Tile::new(size, overlap)
                .and_then(|tile| encoder.encode_tiled_spatially(pixels, tile))
                .map_err(|e| RunError::of(Stage::EncodeClips, e))?,
        };
        let (values, [_, channels, frames, height, width]) = to_host(latents);
        let latents = Array4::from_shape_vec([channels, frames, height, width], values);
        latents.map_err(|e| RunError::Failed { stage: Stage::EncodeClips, source: e.into() })
    }
}

/// Pixels of a tile of a sample that is larger than clips are, and those that it shares with the next.
const LARGE: [usize; 2] = [512, 128];

/// Fails if the cache of all clips and samples has no room on the disk of `folder`.
pub(crate) fn check_room(
    identity: &Identity,
    request: &TrainRequest,
    checkpoint: &Checkpoint,
    folder: &Path,
    disk: Disk,
) -> Result<(), RunError> {
    let context_width = ConnectorConfig::of(checkpoint).map_err(failed)?.inner_dim();
    // A sample counts its context twice: the negative prompt has one, too.
    let clips = latent_cache_bytes(identity.entries.len(), request.bucket(), context_width);
    let samples = latent_cache_bytes(2 * identity.samples.len(), request.validation_bucket(), context_width);
    let room = disk.need(folder, clips.saturating_add(samples));
    room.map_err(|e| RunError::of(Stage::EncodeClips, e))
}

fn failed(error: ModelError) -> RunError {
    RunError::of(Stage::EncodeClips, error)
}
