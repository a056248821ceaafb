//! `interop CHECKPOINT LORA CASE`: what this workspace computes with a LoRA file, for others to compare with.
//!
//! Writes a case of noise to the file CASE: what the transformer sees (`clean`, `noise`, `kept`, `sigma`, `context`), and
//! the velocity that it predicts, `with` and `without` the LoRA, whose factors are those of the file, in bf16.

use std::{collections::HashMap, env, error::Error, fs, path::Path, process::ExitCode};

use burn::tensor::{Tensor, TensorData};
use half::bf16;
use lora_train::{
    random::{Draws, Purpose},
    step::{self, Batch},
};
use ltx_model::{
    BasePrecision, BlockLora, Checkpoint, Device, LORA_TARGETS, LoraPair, Positions, Rope, Transformer,
    TransformerLora, to_host,
};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use tensor_batch::{FrameRate, LatentGrid};

const GRID: LatentGrid = LatentGrid { frames: 3, height: 4, width: 4 };
const CONTEXT: usize = 128;
const SIGMA: f32 = 0.6;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let result = match args.as_slice() {
        [checkpoint, lora, case] => write_case(checkpoint.as_ref(), lora.as_ref(), case.as_ref()),
        _ => Err("expected CHECKPOINT LORA CASE".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[allow(clippy::print_stderr, reason = "a program says why it failed")]
            {
                eprintln!("interop: {error}");
            }
            ExitCode::FAILURE
        }
    }
}

fn write_case(checkpoint: &Path, lora: &Path, case: &Path) -> Result<(), Box<dyn Error>> {
    let model = Transformer::load(&Checkpoint::open(checkpoint)?, &Device::flex(), BasePrecision::Float32)?;
    let lora = read_lora(&model, &fs::read(lora)?)?;
    let batch = batch(&model)?;
    let (with, _) = step::predict(&model, &lora, &batch);
    let (without, _) = step::predict(&model, &silent(lora), &batch);
    let kept: Vec<f32> = batch.kept().iter().map(|kept| f32::from(*kept)).collect();
    let tokens = kept.len();
    let mut tensors = HashMap::from([
        ("kept", (vec![1, tokens], kept)),
        ("sigma", (vec![1], batch.sigma().to_vec())),
        ("grid", (vec![3], [GRID.frames, GRID.height, GRID.width].map(|length| length as f32).to_vec())),
    ]);
    let named = [
        ("clean", batch.clean()),
        ("noise", batch.noise()),
        ("context", batch.context()),
        ("with", &with),
        ("without", &without),
    ];
    for (name, tensor) in named {
        let (values, shape) = to_host(tensor.clone());
        tensors.insert(name, (shape.to_vec(), values));
    }
    let bytes: Vec<(&str, Vec<usize>, Vec<u8>)> = tensors
        .into_iter()
        .map(|(name, (shape, values))| (name, shape, values.into_iter().flat_map(f32::to_le_bytes).collect()))
        .collect();
    let views = bytes
        .iter()
        .map(|(name, shape, bytes)| Ok((*name, TensorView::new(Dtype::F32, shape.clone(), bytes)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
    Ok(fs::write(case, safetensors::serialize(views, None)?)?)
}

/// A sample of noise, every other token of it kept.
fn batch(model: &Transformer) -> Result<Batch, Box<dyn Error>> {
    let mut draws = Draws::new(11, Purpose::Step, 0);
    let config = model.config();
    let mut noise = |rows: usize, width: usize| {
        Tensor::from_data(TensorData::new(draws.normals(rows * width), [1, rows, width]), model.device())
    };
    let tokens = GRID.tokens();
    let rope = Rope::new(&Positions::of(GRID, FrameRate::new(24.0)?), config, model.device());
    let (clean, noisy) = (noise(tokens, config.in_channels), noise(tokens, config.in_channels));
    let kept = (0..tokens).map(|token| token % 2 == 0).collect();
    Ok(Batch::new(clean, noisy, kept, vec![SIGMA], noise(CONTEXT, config.cross_attention_dim), rope)?)
}

/// The factors of a LoRA file, as they are: whoever reads it adds `B A x`.
fn read_lora(model: &Transformer, bytes: &[u8]) -> Result<TransformerLora, Box<dyn Error>> {
    let file = SafeTensors::deserialize(bytes)?;
    let factor = |module: &str, name: &str| -> Result<Tensor<2>, Box<dyn Error>> {
        let view = file.tensor(&format!("diffusion_model.{module}.{name}.weight"))?;
        let shape: [usize; 2] = view.shape().try_into()?;
        let halves = view.data().as_chunks::<2>().0.iter();
        let values: Vec<f32> = halves.map(|bytes| bf16::from_le_bytes(*bytes).to_f32()).collect();
        Ok(Tensor::from_data(TensorData::new(values, shape), model.device()))
    };
    let mut pairs = Vec::new();
    for block in 0..model.config().num_layers {
        for target in LORA_TARGETS {
            let module = format!("transformer_blocks.{block}.{target}");
            let (lora_a, lora_b) = (factor(&module, "lora_A")?, factor(&module, "lora_B")?);
            pairs.push(LoraPair { lora_a, lora_b, scale: 1.0 });
        }
    }
    if file.len() != 2 * pairs.len() {
        return Err(format!("the file has {} tensors, not {}", file.len(), 2 * pairs.len()).into());
    }
    let block = |pairs: &[LoraPair]| {
        let mut pairs = pairs.iter().cloned();
        // As many as there are targets.
        BlockLora::build(|_| pairs.next().unwrap_or_else(|| unreachable!("a block has eight adapters")))
    };
    Ok(TransformerLora { transformer_blocks: pairs.chunks(LORA_TARGETS.len()).map(block).collect() })
}

/// The same adapters, doing nothing.
fn silent(mut lora: TransformerLora) -> TransformerLora {
    for pair in lora.transformer_blocks.iter_mut().flat_map(|block| block.pairs_mut()) {
        pair.lora_b = pair.lora_b.zeros_like();
    }
    lora
}
