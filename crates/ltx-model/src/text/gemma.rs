//! Gemma 3, the text part: tokens to the hidden states of every layer.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};

use super::{
    GemmaConfig, LayerType, Tokens,
    gemma_layer::{GemmaLayer, GemmaNorm, Row},
    shards,
};
use crate::{
    Checkpoint, ModelError,
    weights::{Mode, Weights},
};

/// Where the text part lies: as published, as re-saved, and in text-only repositories.
const PREFIXES: [&str; 3] = ["language_model.model.", "model.language_model.", "model."];

/// Gemma 3 without its vision part.
///
/// The weights stay in the files: a layer is read when its turn comes and dropped after it, so that
/// one layer is in memory at a time, and of the embedding table only the rows in use.
#[derive(Debug)]
pub struct Gemma {
    folder: PathBuf,
    shards: Vec<Checkpoint>,
    prefix: &'static str,
    config: GemmaConfig,
    vocab_size: usize,
    device: Device,
}

impl Gemma {
    /// Opens the folder of a published Gemma 3: `config.json` and one or several `.safetensors` files. All
    /// keys and shapes are checked, no weight is read yet.
    ///
    /// # Errors
    /// If a file cannot be read, the configuration is not implemented, or the weights do not fit it, with
    /// every missing key, wrong shape and layer too many at once.
    pub fn load(folder: &Path, device: &Device) -> Result<Self, ModelError> {
        let config = GemmaConfig::open(folder)?;
        let shards = shards::open(folder)?;
        let keys = || shards.iter().flat_map(Checkpoint::keys);
        let holds = |prefix: &&str| keys().any(|key| key.starts_with(&format!("{prefix}layers.")));
        let prefix = PREFIXES.into_iter().find(holds).unwrap_or(PREFIXES[0]);
        let device = device.clone();
        let mut gemma = Self { folder: folder.to_owned(), shards, prefix, config, vocab_size: 0, device };
        gemma.vocab_size = gemma.survey()?;
        Ok(gemma)
    }

    /// The configuration.
    pub fn config(&self) -> &GemmaConfig {
        &self.config
    }

    /// The hidden states of each caption: `num_hidden_layers + 1` tensors `[T, hidden]`, which are the scaled
    /// embeddings, the outputs of all layers but the last, and the normalised output of the last. `T` counts
    /// the caption's tokens, without padding.
    ///
    /// All captions pass a layer before the next one is read, so their states are in memory together.
    ///
    /// # Errors
    /// If the files cannot be read any more, or a token lies beyond the embedding table.
    pub fn hidden_states(&self, captions: &[Tokens]) -> Result<Vec<Vec<Tensor<2>>>, ModelError> {
        let weights = self.weights(Mode::Read);
        let mut passes = captions.iter().map(|c| self.embed(&weights, c)).collect::<Result<Vec<_>, _>>()?;
        for (i, layer_type) in self.config.layer_types.iter().enumerate() {
            let layer = GemmaLayer::read(&weights.at(format!("layers.{i}")), &self.config);
            weights.sound()?;
            passes.iter_mut().for_each(|pass| pass.advance(&layer, *layer_type));
        }
        let norm = self.norm(&weights);
        weights.sound()?;
        Ok(passes.into_iter().map(|pass| pass.finish(&norm)).collect())
    }

    fn embed(&self, weights: &Weights, tokens: &Tokens) -> Result<Pass, ModelError> {
        if let Some(id) = tokens.ids().iter().find(|id| **id as usize >= self.vocab_size) {
            let reason = format!("token {id} lies beyond the embedding table of {} rows", self.vocab_size);
            return Err(ModelError::Malformed { path: self.folder.clone(), reason });
        }
        let shape = [self.vocab_size, self.config.hidden_size];
        let rows = weights.rows("embed_tokens.weight", shape, tokens.ids());
        weights.sound()?;
        // A tensor, so that the factor is rounded like the weights: to 62.0 for 3840 where they are bf16.
        let factor = Tensor::<2>::full([1, 1], (shape[1] as f64).sqrt(), (&self.device, rows.dtype()));
        Ok(Pass::new((rows * factor).unsqueeze(), &self.config, &self.device))
    }

    fn norm(&self, weights: &Weights) -> GemmaNorm {
        GemmaNorm::read(&weights.at("norm"), self.config.hidden_size, self.config.rms_norm_eps)
    }

    fn weights(&self, mode: Mode) -> Weights<'_> {
        Weights::over(&self.shards, self.prefix, &self.device, mode)
    }

    /// Compares all keys and shapes with the configuration. Returns the size of the vocabulary.
    fn survey(&self) -> Result<usize, ModelError> {
        let weights = self.weights(Mode::Survey);
        let [vocab_size, _] = weights.shape_of("embed_tokens.weight");
        weights.rows("embed_tokens.weight", [vocab_size, self.config.hidden_size], &[]);
        for i in 0..self.config.layer_types.len() {
            GemmaLayer::read(&weights.at(format!("layers.{i}")), &self.config);
        }
        self.norm(&weights);
        let (mut faults, asked) = weights.finish();
        let layers = format!("{}layers.", self.prefix);
        let keys = self.shards.iter().flat_map(Checkpoint::keys);
        let leftover = keys.filter(|key| key.starts_with(&layers) && !asked.contains_key(*key));
        faults.leftover = leftover.map(str::to_owned).collect();
        if faults.is_empty() {
            return Ok(vocab_size);
        }
        Err(ModelError::Weights { path: self.folder.clone(), faults })
    }
}

/// One caption on its way through the layers.
struct Pass {
    hidden: Tensor<3>,
    states: Vec<Tensor<2>>,
    full: Row,
    sliding: Row,
}

impl Pass {
    fn new(embedded: Tensor<3>, config: &GemmaConfig, device: &Device) -> Self {
        let row = |layer_type| Row::new(embedded.dims()[1], layer_type, config, device);
        let (full, sliding) = (row(LayerType::Full), row(LayerType::Sliding));
        Self { hidden: embedded, states: Vec::new(), full, sliding }
    }

    /// Keeps the present state and goes on to the next.
    fn advance(&mut self, layer: &GemmaLayer, layer_type: LayerType) {
        let row = match layer_type {
            LayerType::Full => &self.full,
            LayerType::Sliding => &self.sliding,
        };
        self.states.push(self.hidden.clone().squeeze_dim(0));
        self.hidden = layer.forward(self.hidden.clone(), row);
    }

    fn finish(mut self, norm: &GemmaNorm) -> Vec<Tensor<2>> {
        self.states.push(norm.forward(self.hidden).squeeze_dim(0));
        self.states
    }
}
