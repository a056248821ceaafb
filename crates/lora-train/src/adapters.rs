//! The adapters: how they start, how they are saved, whether they are sound.

use std::collections::{BTreeMap, HashMap};

use burn::tensor::{Device, Tensor, TensorData};
use half::bf16;
use ltx_model::{BlockLora, LoraPair, TransformerConfig, TransformerLora, to_host};
use safetensors::{Dtype, SafeTensorError, tensor::TensorView};
use tensor_batch::Rank;

use crate::random::{Draws, Purpose};

/// New adapters: `A` uniform in ±1/sqrt(in) (Kaiming uniform with a = sqrt(5)), `B` zero, alpha equal to the rank.
pub fn init(config: &TransformerConfig, rank: Rank, seed: u64, device: &Device) -> TransformerLora {
    let mut lora = zeros(config, rank, device);
    for (block, lora) in lora.transformer_blocks.iter_mut().enumerate() {
        let mut draws = Draws::new(seed, Purpose::Init, block as u64);
        for pair in lora.pairs_mut() {
            pair.lora_a = uniform(&mut draws, pair.lora_a.dims(), device);
        }
    }
    lora
}

/// Adapters of the right shapes, all zero.
pub(crate) fn zeros(config: &TransformerConfig, rank: Rank, device: &Device) -> TransformerLora {
    let (rank, width) = (rank.get(), config.inner_dim());
    let pair = |target: &str| {
        let inputs = match target {
            "attn2.to_k" | "attn2.to_v" => config.cross_attention_dim,
            _ => width,
        };
        let zeros = |shape: [usize; 2]| Tensor::zeros(shape, device);
        LoraPair { lora_a: zeros([rank, inputs]), lora_b: zeros([width, rank]), scale: 1.0 }
    };
    TransformerLora { transformer_blocks: (0..config.num_layers).map(|_| BlockLora::build(pair)).collect() }
}

fn uniform(draws: &mut Draws, [rank, inputs]: [usize; 2], device: &Device) -> Tensor<2> {
    let bound = 1.0 / (inputs as f64).sqrt();
    let a: Vec<f32> = (0..rank * inputs).map(|_| ((2.0 * draws.uniform() - 1.0) * bound) as f32).collect();
    Tensor::from_data(TensorData::new(a, [rank, inputs]), device)
}

/// The adapters as a `.safetensors` file that ComfyUI, PEFT and diffusers read: keys
/// `diffusion_model.<module>.lora_A.weight` `[rank, in]` and `.lora_B.weight` `[out, rank]`, bf16.
///
/// A reader applies `B A` without any scale, so `alpha / rank` is folded into `B`. Equal adapters and metadata give
/// equal bytes.
///
/// # Errors
/// Only if the tensors do not agree with their own shapes.
pub fn to_safetensors(
    lora: &TransformerLora,
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<u8>, SafeTensorError> {
    let mut tensors: Vec<(String, [usize; 2], Vec<u8>)> = Vec::new();
    for (module, pair) in lora.modules() {
        let mut push = |factor: &str, tensor: Tensor<2>| {
            let bytes = to_host(tensor.clone()).0.into_iter().flat_map(|v| bf16::from_f32(v).to_le_bytes());
            tensors.push((
                format!("diffusion_model.{module}.{factor}.weight"),
                tensor.dims(),
                bytes.collect(),
            ));
        };
        push("lora_A", pair.lora_a.clone());
        push("lora_B", pair.lora_b.clone() * pair.scale);
    }
    let views = tensors
        .iter()
        .map(|(key, shape, bytes)| Ok((key, TensorView::new(Dtype::BF16, shape.to_vec(), bytes)?)))
        .collect::<Result<Vec<_>, SafeTensorError>>()?;
    let bytes = safetensors::serialize(views, Some(HashMap::new()))?;
    Ok(with_metadata(bytes, metadata))
}

/// Puts `metadata` in place of the empty one, sorted: the format's own writer would order it at random.
fn with_metadata(bytes: Vec<u8>, metadata: &BTreeMap<String, String>) -> Vec<u8> {
    const EMPTY: &[u8] = br#"{"__metadata__":{}"#;
    let sorted = serde_json::json!({ "__metadata__": metadata }).to_string();
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else { return bytes };
    let (header, data) = rest.split_at((u64::from_le_bytes(*length) as usize).min(rest.len()));
    if metadata.is_empty() || !header.starts_with(EMPTY) {
        return bytes;
    }
    let mut header = [sorted.trim_end_matches('}').as_bytes(), b"}", &header[EMPTY.len()..]].concat();
    while header.last() == Some(&b' ') {
        header.pop();
    }
    header.resize(header.len().next_multiple_of(8), b' ');
    [&(header.len() as u64).to_le_bytes(), header.as_slice(), data].concat()
}

/// A module whose adapter did not come out right.
#[derive(Debug, Clone, PartialEq)]
pub struct UnsoundModule {
    /// The module's checkpoint name.
    pub module: String,
    /// What is wrong: `not finite`, or `zero`.
    pub what: &'static str,
}

/// The root mean square of `scale B A` of every module, or the modules that are not finite or do nothing.
///
/// # Errors
/// Every unsound module.
pub fn delta_rms(lora: &TransformerLora) -> Result<Vec<(String, f64)>, Vec<UnsoundModule>> {
    let mut deltas = Vec::new();
    let mut unsound = Vec::new();
    for (module, pair) in lora.modules() {
        let delta = pair.lora_b.clone().matmul(pair.lora_a.clone()) * pair.scale;
        let rms = f64::from(delta.square().mean().into_scalar::<f32>()).sqrt();
        match rms {
            _ if !rms.is_finite() => unsound.push(UnsoundModule { module, what: "not finite" }),
            0.0 => unsound.push(UnsoundModule { module, what: "zero" }),
            _ => deltas.push((module, rms)),
        }
    }
    if unsound.is_empty() { Ok(deltas) } else { Err(unsound) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiny() -> TransformerConfig {
        TransformerConfig {
            num_layers: 2,
            num_attention_heads: 2,
            attention_head_dim: 8,
            cross_attention_dim: 24,
            ..TransformerConfig::ltx_2_3()
        }
    }

    #[test]
    fn new_adapters_do_nothing_and_are_bounded() {
        let lora = init(&tiny(), Rank::R8, 1, &Device::flex());
        let (count, largest) = lora.modules().fold((0, 0f32), |(count, largest), (_, pair)| {
            assert_eq!(pair.lora_b.clone().abs().max().into_scalar::<f32>(), 0.0);
            let max = pair.lora_a.clone().abs().max().into_scalar::<f32>();
            (count + 1, largest.max(max * (pair.lora_a.dims()[1] as f32).sqrt()))
        });
        assert_eq!(count, 16);
        assert!((0.9..=1.0).contains(&largest), "{largest}");
        assert_eq!(delta_rms(&lora).unwrap_err().len(), 16);
    }

    #[test]
    fn a_saved_file_has_the_fields_keys_and_equal_bytes() {
        let lora = init(&tiny(), Rank::R8, 1, &Device::flex());
        let metadata: BTreeMap<String, String> =
            ["rank", "alpha", "a \"quoted\" {key}"].map(|key| (key.to_owned(), "8}".to_owned())).into();
        let bytes = to_safetensors(&lora, &metadata).unwrap();
        assert_eq!(bytes, to_safetensors(&lora, &metadata).unwrap());
        let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!(header.metadata().clone().unwrap().into_iter().collect::<BTreeMap<_, _>>(), metadata);
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let view = file.tensor("diffusion_model.transformer_blocks.1.attn2.to_k.lora_A.weight").unwrap();
        assert_eq!((view.dtype(), view.shape()), (Dtype::BF16, &[8, 24][..]));
        assert_eq!(file.len(), 32);
    }

    #[test]
    fn alpha_is_folded_into_b() {
        let mut lora = init(&tiny(), Rank::R8, 1, &Device::flex());
        for pair in lora.transformer_blocks[0].pairs_mut() {
            pair.lora_b = pair.lora_b.ones_like();
            pair.scale = 0.5;
        }
        let bytes = to_safetensors(&lora, &BTreeMap::new()).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let view = file.tensor("diffusion_model.transformer_blocks.0.attn1.to_q.lora_B.weight").unwrap();
        assert_eq!(view.data()[..2], bf16::from_f32(0.5).to_le_bytes());
    }
}
