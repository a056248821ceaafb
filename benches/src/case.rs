//! A model and a batch of any size, made of noise, as files that this bench and others can read.

use std::{collections::HashMap, error::Error, fs, path::Path};

use burn::tensor::{Device, Tensor, TensorData};
use lora_train::{
    adapters,
    random::{Draws, Purpose},
    step::Batch,
};
use ltx_model::{BasePrecision, Positions, Rope, Transformer, TransformerConfig, TransformerLora, to_host};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::json;
use tensor_batch::{FrameRate, LatentGrid, Rank};

/// What goes wrong on the way.
pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Text tokens.
pub const CONTEXT: usize = 128;
/// Rank of the adapters.
pub const RANK: Rank = Rank::R32;
const SIGMA: f32 = 0.6;
/// Before the keys of the transformer.
pub(crate) const PREFIX: &str = "model.diffusion_model.";

/// The numbers of a model of width 512.
pub fn config(layers: usize) -> TransformerConfig {
    TransformerConfig {
        num_layers: layers,
        num_attention_heads: 8,
        attention_head_dim: 64,
        cross_attention_dim: 512,
        ..TransformerConfig::ltx_2_3()
    }
}

/// The latent grid of `tokens` tokens: square, of eight frames, or else of four.
///
/// # Errors
/// If there is none.
pub fn grid(tokens: usize) -> Result<LatentGrid> {
    let side = |frames: usize| (1..=tokens).find(|side| frames * side * side == tokens);
    let found = [8, 4].into_iter().find_map(|frames| side(frames).map(|side| (frames, side)));
    let (frames, side) =
        found.ok_or_else(|| format!("{tokens} tokens are not eight or four square frames"))?;
    Ok(LatentGrid { frames, height: side, width: side })
}

/// Writes a checkpoint with weights of noise.
///
/// # Errors
/// If the file cannot be written.
pub fn write_model(path: &Path, config: &TransformerConfig) -> Result<()> {
    let mut draws = Draws::new(1, Purpose::Init, 0);
    let mut tensors = Vec::new();
    for (key, shape) in shapes(config) {
        let count: usize = shape.iter().product();
        let (mean, spread) = distribution(&key, &shape);
        let values = draws.normals(count).into_iter().map(|x| mean + spread * x).collect();
        tensors.push((format!("{PREFIX}{key}"), shape, values));
    }
    write(path, tensors, Some(metadata(config)))
}

/// Mean and spread of a tensor's noise: linear layers keep the size of their input; norms' weights lie around 1, and
/// the rest around 0.
pub(crate) fn distribution(key: &str, shape: &[usize]) -> (f32, f32) {
    match key {
        key if key.ends_with("_norm.weight") => (1.0, 0.1),
        key if key.ends_with("weight") => (0.0, 1.0 / (shape[1] as f32).sqrt()),
        _ => (0.0, 0.1),
    }
}

/// The metadata of a checkpoint.
pub(crate) fn metadata(config: &TransformerConfig) -> HashMap<String, String> {
    let section = json!({ "transformer": {
        "num_layers": config.num_layers, "num_attention_heads": config.num_attention_heads,
        "attention_head_dim": config.attention_head_dim, "cross_attention_dim": config.cross_attention_dim,
        "apply_gated_attention": true, "cross_attention_adaln": true, "caption_proj_before_connector": true,
        "caption_projection_first_linear": false, "caption_proj_input_norm": false,
        "caption_projection_second_linear": false,
    }});
    [("config", section.to_string()), ("model_version", "2.3.0".to_owned())]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
}

/// Every tensor of the video stream.
pub(crate) fn shapes(config: &TransformerConfig) -> Vec<(String, Vec<usize>)> {
    let (width, heads, context) =
        (config.inner_dim(), config.num_attention_heads, config.cross_attention_dim);
    let mut shapes = vec![("scale_shift_table".to_owned(), vec![2, width])];
    let linear = |shapes: &mut Vec<_>, name: String, inputs, outputs| {
        shapes.push((format!("{name}.weight"), vec![outputs, inputs]));
        shapes.push((format!("{name}.bias"), vec![outputs]));
    };
    linear(&mut shapes, "patchify_proj".to_owned(), config.in_channels, width);
    linear(&mut shapes, "proj_out".to_owned(), width, config.in_channels);
    for (name, rows) in [("adaln_single", 9), ("prompt_adaln_single", 2)] {
        linear(&mut shapes, format!("{name}.emb.timestep_embedder.linear_1"), 256, width);
        linear(&mut shapes, format!("{name}.emb.timestep_embedder.linear_2"), width, width);
        linear(&mut shapes, format!("{name}.linear"), width, rows * width);
    }
    for block in (0..config.num_layers).map(|i| format!("transformer_blocks.{i}")) {
        shapes.push((format!("{block}.scale_shift_table"), vec![9, width]));
        shapes.push((format!("{block}.prompt_scale_shift_table"), vec![2, width]));
        for (attention, keys) in [("attn1", width), ("attn2", context)] {
            let at = format!("{block}.{attention}");
            linear(&mut shapes, format!("{at}.to_q"), width, width);
            linear(&mut shapes, format!("{at}.to_k"), keys, width);
            linear(&mut shapes, format!("{at}.to_v"), keys, width);
            linear(&mut shapes, format!("{at}.to_out.0"), width, width);
            linear(&mut shapes, format!("{at}.to_gate_logits"), width, heads);
            shapes.push((format!("{at}.q_norm.weight"), vec![width]));
            shapes.push((format!("{at}.k_norm.weight"), vec![width]));
        }
        linear(&mut shapes, format!("{block}.ff.net.0.proj"), width, 4 * width);
        linear(&mut shapes, format!("{block}.ff.net.2"), 4 * width, width);
    }
    shapes
}

/// A batch of one sample, half of it kept, and adapters that do something.
#[derive(Debug)]
pub struct Case {
    /// The batch.
    pub batch: Batch,
    /// The adapters.
    pub lora: TransformerLora,
}

impl Case {
    /// Noise.
    ///
    /// # Errors
    /// If there is no grid of `tokens` tokens.
    pub fn new(config: &TransformerConfig, tokens: usize, device: &Device) -> Result<Self> {
        Self::of(config, grid(tokens)?, CONTEXT, RANK, device)
    }

    /// Noise on a grid of latent cells, with `context` text tokens and adapters of `rank`.
    ///
    /// # Errors
    /// Never: the frame rate is one.
    pub fn of(
        config: &TransformerConfig,
        grid: LatentGrid,
        context: usize,
        rank: Rank,
        device: &Device,
    ) -> Result<Self> {
        let mut draws = Draws::new(2, Purpose::Step, 0);
        let tokens = grid.tokens();
        let mut noise = |rows: usize, width: usize| {
            Tensor::from_data(TensorData::new(draws.normals(rows * width), [1, rows, width]), device)
        };
        let rope = Rope::new(&Positions::of(grid, FrameRate::new(24.0)?), config, device);
        let batch = Batch::new(
            noise(tokens, config.in_channels),
            noise(tokens, config.in_channels),
            (0..tokens).map(|token| token % 2 == 0).collect(),
            vec![SIGMA],
            noise(context, config.cross_attention_dim),
            rope,
        )?;
        let mut lora = adapters::init(config, rank, 3, device);
        for pair in lora.transformer_blocks.iter_mut().flat_map(|block| block.pairs_mut()) {
            // A new adapter's B is zero, and A would get no gradient.
            let [outputs, rank] = pair.lora_b.dims();
            let values = draws.normals(outputs * rank).into_iter().map(|x| 0.02 * x).collect();
            pair.lora_b = Tensor::from_data(TensorData::new::<f32, _>(values, [outputs, rank]), device);
        }
        Ok(Self { batch, lora })
    }

    /// Writes batch and adapters: `clean`, `noise`, `kept`, `sigma`, `context`, and for each module
    /// `MODULE.lora_A` and `MODULE.lora_B`.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let (batch, kept, sigma) = (&self.batch, self.batch.kept(), self.batch.sigma());
        let mut tensors: Vec<(String, Vec<usize>, Vec<f32>)> = Vec::new();
        for (name, tensor) in
            [("clean", batch.clean()), ("noise", batch.noise()), ("context", batch.context())]
        {
            tensors.push((name.to_owned(), tensor.dims().to_vec(), to_host(tensor.clone()).0));
        }
        tensors.push(("kept".to_owned(), vec![1, kept.len()], kept.iter().map(|k| f32::from(*k)).collect()));
        tensors.push(("sigma".to_owned(), vec![sigma.len()], sigma.to_vec()));
        for (module, pair) in self.lora.modules() {
            for (factor, tensor) in [("lora_A", &pair.lora_a), ("lora_B", &pair.lora_b)] {
                let (values, shape) = to_host(tensor.clone());
                tensors.push((format!("{module}.{factor}"), shape.to_vec(), values));
            }
        }
        write(path, tensors, None)
    }
}

fn write(
    path: &Path,
    tensors: Vec<(String, Vec<usize>, Vec<f32>)>,
    metadata: Option<HashMap<String, String>>,
) -> Result<()> {
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
        .into_iter()
        .map(|(key, shape, values)| (key, shape, values.into_iter().flat_map(f32::to_le_bytes).collect()))
        .collect();
    let views = tensors
        .iter()
        .map(|(key, shape, bytes)| Ok((key, TensorView::new(Dtype::F32, shape.clone(), bytes)?)))
        .collect::<Result<Vec<_>>>()?;
    Ok(fs::write(path, safetensors::serialize(views, metadata)?)?)
}

/// Float32 tensors of a file, by name.
///
/// # Errors
/// If the file cannot be read.
pub fn read(path: &Path) -> Result<HashMap<String, Vec<f32>>> {
    let bytes = fs::read(path)?;
    let floats =
        |bytes: &[u8]| bytes.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value)).collect();
    let tensors = SafeTensors::deserialize(&bytes)?;
    Ok(tensors.iter().map(|(key, view)| (key.to_owned(), floats(view.data()))).collect())
}

/// The model of a file, in the precision that its device takes by itself.
///
/// # Errors
/// If it cannot be loaded.
pub fn model(path: &Path, device: &Device) -> Result<Transformer> {
    Ok(Transformer::load(&ltx_model::Checkpoint::open(path)?, device, BasePrecision::default_on(device))?)
}
