//! Caption to context: the whole text path.

use std::path::Path;

use burn::tensor::{Device, Tensor};

use super::{Connector, ConnectorConfig, FeatureExtractor, Gemma, Tokenizer, Tokens};
use crate::{Checkpoint, ModelError, Setting, Wanted, weights::Weights};

/// The tokens of every context, caption and registers together.
pub const CONTEXT_TOKENS: usize = 1024;

/// How many captions pass Gemma together. Their hidden states, up to 0.8 GB each at full size, share each
/// reading of the layers.
const CAPTIONS_AT_ONCE: usize = 8;

const PROJECTION: &str = "text_embedding_projection";
const FAMILIES: [&str; 2] = ["text_embedding_projection.video_aggregate_embed", CONNECTOR];
const CONNECTOR: &str = "model.diffusion_model.video_embeddings_connector";

/// What comes from the checkpoint and not from Gemma's folder.
fn from_checkpoint(
    weights: &Weights,
    gemma: &Gemma,
    config: &ConnectorConfig,
) -> (FeatureExtractor, Connector) {
    let projection = weights.at(PROJECTION);
    let features = FeatureExtractor::read(&projection, gemma.config(), config.inner_dim());
    (features, Connector::read(&weights.at(CONNECTOR), config))
}

/// Tokenizer, Gemma, feature extractor and connector of the video stream.
#[derive(Debug)]
pub struct TextEncoder {
    tokenizer: Tokenizer,
    gemma: Gemma,
    features: FeatureExtractor,
    connector: Connector,
}

impl TextEncoder {
    /// Loads Gemma from `gemma_dir`, in the published layout, and projection and connector from `checkpoint`,
    /// which may hold these alone.
    ///
    /// # Errors
    /// If a file cannot be read, a configuration is of another variant, or weights do not fit their
    /// configuration: everything wrong with a file at once.
    pub fn load(gemma_dir: &Path, checkpoint: &Checkpoint, device: &Device) -> Result<Self, ModelError> {
        let tokenizer = Tokenizer::open(gemma_dir)?;
        let gemma = Gemma::load(gemma_dir, device)?;
        let config = ConnectorConfig::of(checkpoint)?;
        let (features, connector) =
            checkpoint.read("", &FAMILIES, device, |weights| from_checkpoint(weights, &gemma, &config))?;
        check_registers(&connector, checkpoint)?;
        Ok(Self { tokenizer, gemma, features, connector })
    }

    /// Whether `gemma_dir` and `checkpoint` could be loaded, and what would be read of `checkpoint`; reads no weight.
    ///
    /// # Errors
    /// As [`load`](Self::load), but for a number of registers that does not fit.
    pub fn check(gemma_dir: &Path, checkpoint: &Checkpoint, device: &Device) -> Result<Wanted, ModelError> {
        Tokenizer::open(gemma_dir)?;
        let gemma = Gemma::load(gemma_dir, device)?;
        let config = ConnectorConfig::of(checkpoint)?;
        checkpoint.survey("", &FAMILIES, device, |weights| from_checkpoint(weights, &gemma, &config))
    }

    /// The context `[1024, D]` of each prompt, in order; its mask is all ones. After each prompt, `progress`
    /// is told how many are done.
    ///
    /// # Errors
    /// If the files cannot be read any more, or tokenizer and Gemma do not belong together.
    pub fn encode(
        &self,
        prompts: &[String],
        mut progress: impl FnMut(usize),
    ) -> Result<Vec<Tensor<2>>, ModelError> {
        let tokens = |prompt: &String| self.tokenizer.encode(prompt, CONTEXT_TOKENS);
        let captions: Vec<Tokens> = prompts.iter().map(tokens).collect::<Result<_, _>>()?;
        let mut contexts = Vec::with_capacity(captions.len());
        for captions in captions.chunks(CAPTIONS_AT_ONCE) {
            for states in self.gemma.hidden_states(captions)? {
                contexts.push(self.connector.forward(self.features.forward(states), CONTEXT_TOKENS));
                progress(contexts.len());
            }
        }
        Ok(contexts)
    }

    /// The first stage.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The second stage.
    pub fn gemma(&self) -> &Gemma {
        &self.gemma
    }

    /// The third stage.
    pub fn features(&self) -> &FeatureExtractor {
        &self.features
    }

    /// The last stage.
    pub fn connector(&self) -> &Connector {
        &self.connector
    }
}

fn check_registers(connector: &Connector, checkpoint: &Checkpoint) -> Result<(), ModelError> {
    if CONTEXT_TOKENS.is_multiple_of(connector.registers()) {
        return Ok(());
    }
    let setting = Setting {
        key: format!("the row count of {CONNECTOR}.learnable_registers"),
        found: connector.registers().to_string(),
        wanted: format!("a divisor of {CONTEXT_TOKENS}"),
    };
    Err(ModelError::Unsupported { path: checkpoint.path().to_owned(), settings: vec![setting] })
}
