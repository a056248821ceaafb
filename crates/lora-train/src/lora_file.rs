//! Adapters read from a file.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use burn::tensor::{Device, Tensor, TensorData};
use half::{bf16, f16};
use ltx_model::{LoraPair, TransformerConfig, TransformerLora};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use tensor_batch::{Blame, Fault, Rank};

use crate::adapters;

/// What the field's tools put before the name of a module.
const PREFIXES: [&str; 4] =
    ["diffusion_model.", "model.diffusion_model.", "transformer.", "base_model.model."];

/// Why a LoRA cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoraFileError {
    /// The file cannot be read.
    #[error("cannot read the LoRA {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is no safetensors file, or not one of this model's adapters.
    #[error("{} is no LoRA of this model: {}", path.display(), reasons.join("; "))]
    Unfit {
        /// The file.
        path: PathBuf,
        /// All that is wrong with it.
        reasons: Vec<String>,
    },
}

impl Blame for LoraFileError {
    fn fault(&self) -> Fault {
        match self {
            Self::Io { .. } => Fault::Service,
            Self::Unfit { .. } => Fault::Request,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Io { .. } => "io",
            Self::Unfit { .. } => "lora-unfit",
        }
    }
}

/// Reads the adapters in the file at `path` for a model of `config`, float32 on `device`: keys
/// `<module>.lora_A.weight` `[rank, in]`, `<module>.lora_B.weight` `[out, rank]` and perhaps `<module>.alpha`, under any
/// of the usual prefixes; bf16, f16 or f32. Ranks may differ from module to module. Where there is no alpha it equals the
/// rank. A module that the file does not adapt is left as it is.
///
/// # Errors
/// If the file cannot be read, holds no adapter, or holds any that this model has no place for; everything wrong at
/// once.
pub fn read_lora(
    path: &Path,
    config: &TransformerConfig,
    device: &Device,
) -> Result<TransformerLora, LoraFileError> {
    let bytes = fs::read(path).map_err(|source| LoraFileError::Io { path: path.to_owned(), source })?;
    parse(&bytes, config, device).map_err(|reasons| LoraFileError::Unfit { path: path.to_owned(), reasons })
}

fn parse(bytes: &[u8], config: &TransformerConfig, device: &Device) -> Result<TransformerLora, Vec<String>> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| vec![error.to_string()])?;
    let mut left: Vec<String> = file.names().into_iter().map(str::to_owned).collect();
    left.sort();
    let mut lora = adapters::zeros(config, Rank::R8, device);
    let modules: Vec<String> = lora.modules().map(|(module, _)| module).collect();
    let pairs = lora.transformer_blocks.iter_mut().flat_map(|block| block.pairs_mut());
    let (mut reasons, mut found) = (Vec::new(), 0);
    for (module, pair) in modules.iter().zip(pairs) {
        match read_pair(&file, module, pair, device, &mut left) {
            Ok(read) => found += usize::from(read),
            Err(reason) => reasons.push(reason),
        }
    }
    if !left.is_empty() {
        let shown = left.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
        reasons.push(format!("{} tensors have no place in it, such as {shown}", left.len()));
    } else if found == 0 && reasons.is_empty() {
        reasons.push("it adapts nothing".to_owned());
    }
    if reasons.is_empty() { Ok(lora) } else { Err(reasons) }
}

/// Reads one module into `pair`, if the file adapts it; takes the keys that are read out of `left`.
fn read_pair(
    file: &SafeTensors<'_>,
    module: &str,
    pair: &mut LoraPair,
    device: &Device,
    left: &mut Vec<String>,
) -> Result<bool, String> {
    let mut take = |what: &str| -> Option<TensorView<'_>> {
        let is_it = |key: &String| {
            let plain = PREFIXES.iter().find_map(|prefix| key.strip_prefix(prefix)).unwrap_or(key);
            plain.strip_prefix(module).is_some_and(|rest| rest == what)
        };
        let key = left.remove(left.iter().position(is_it)?);
        file.tensor(&key).ok()
    };
    let (a, b, alpha) = (take(".lora_A.weight"), take(".lora_B.weight"), take(".alpha"));
    let (a, b) = match (a, b) {
        (None, None) => return Ok(false),
        (Some(a), Some(b)) => (a, b),
        _ => return Err(format!("{module} has one factor of two")),
    };
    let (inputs, outputs) = (pair.lora_a.dims()[1], pair.lora_b.dims()[0]);
    let (&[rank, found_inputs], &[found_outputs, other]) = (a.shape(), b.shape()) else {
        return Err(format!("the factors of {module} are no matrices"));
    };
    if rank == 0 || rank != other || found_inputs != inputs || found_outputs != outputs {
        return Err(format!(
            "the factors of {module} are {:?} and {:?}, expected [rank, {inputs}] and [{outputs}, rank]",
            a.shape(),
            b.shape()
        ));
    }
    pair.lora_a = Tensor::from_data(TensorData::new(floats(&a, module)?, [rank, inputs]), device);
    pair.lora_b = Tensor::from_data(TensorData::new(floats(&b, module)?, [outputs, rank]), device);
    let alpha = alpha.map(|alpha| floats(&alpha, module)).transpose()?;
    let alpha = alpha.and_then(|alpha| alpha.first().copied());
    pair.scale = alpha.map_or(1.0, |alpha| f64::from(alpha) / rank as f64);
    Ok(true)
}

fn floats(tensor: &TensorView<'_>, module: &str) -> Result<Vec<f32>, String> {
    let data = tensor.data();
    let halves =
        |to: fn([u8; 2]) -> f32| data.as_chunks().0.iter().map(|bytes| to(*bytes)).collect::<Vec<_>>();
    let values = match tensor.dtype() {
        Dtype::BF16 => halves(|bytes| bf16::from_le_bytes(bytes).to_f32()),
        Dtype::F16 => halves(|bytes| f16::from_le_bytes(bytes).to_f32()),
        Dtype::F32 => data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
        other => return Err(format!("{module} is of dtype {other:?}, expected BF16, F16 or F32")),
    };
    if values.iter().all(|value| value.is_finite()) {
        Ok(values)
    } else {
        Err(format!("{module} holds numbers that are not finite"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ltx_model::to_host;

    use super::*;

    fn config() -> TransformerConfig {
        TransformerConfig {
            num_layers: 2,
            num_attention_heads: 2,
            attention_head_dim: 8,
            cross_attention_dim: 24,
            ..TransformerConfig::ltx_2_3()
        }
    }

    /// A file with these tensors, each filled with its number.
    fn file(tensors: &[(&str, &[usize], f32)]) -> Vec<u8> {
        let data: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
            .iter()
            .map(|(key, shape, value)| {
                let count = shape.iter().product();
                let bytes = vec![*value; count].into_iter().flat_map(f32::to_le_bytes).collect();
                ((*key).to_owned(), shape.to_vec(), bytes)
            })
            .collect();
        let views = data
            .iter()
            .map(|(key, shape, bytes)| (key, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
        safetensors::serialize(views, None).unwrap()
    }

    fn reasons(bytes: &[u8]) -> Vec<String> {
        parse(bytes, &config(), &Device::flex()).unwrap_err()
    }

    #[test]
    fn what_is_written_reads_back() {
        let device = Device::flex();
        let mut lora = adapters::init(&config(), Rank::R8, 1, &device);
        for pair in lora.transformer_blocks.iter_mut().flat_map(|block| block.pairs_mut()) {
            pair.lora_a = pair.lora_a.clone().cast(burn::tensor::DType::BF16).cast(burn::tensor::DType::F32);
            pair.lora_b = pair.lora_b.ones_like() * 0.5;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lora.safetensors");
        fs::write(&path, adapters::to_safetensors(&lora, &BTreeMap::new()).unwrap()).unwrap();
        let again = read_lora(&path, &config(), &device).unwrap();
        for ((module, wanted), (_, found)) in lora.modules().zip(again.modules()) {
            assert_eq!(to_host(found.lora_a.clone()), to_host(wanted.lora_a.clone()), "{module}");
            assert_eq!(to_host(found.lora_b.clone()), to_host(wanted.lora_b.clone()), "{module}");
            assert_eq!(found.scale, 1.0);
        }
    }

    #[test]
    fn alpha_prefixes_and_single_modules_are_understood() {
        let module = "transformer_blocks.1.attn2.to_k";
        for prefix in PREFIXES.into_iter().chain([""]) {
            let key = |what: &str| format!("{prefix}{module}{what}");
            let (a, b, alpha) = (key(".lora_A.weight"), key(".lora_B.weight"), key(".alpha"));
            let bytes = file(&[(&a, &[4, 24], 2.0), (&b, &[16, 4], 3.0), (&alpha, &[], 2.0)]);
            let lora = parse(&bytes, &config(), &Device::flex()).unwrap();
            for (name, pair) in lora.modules() {
                let (a, b) = (to_host(pair.lora_a.clone()).0[0], to_host(pair.lora_b.clone()).0[0]);
                let wanted = if name == module { (2.0, 3.0, 0.5) } else { (0.0, 0.0, 1.0) };
                assert_eq!((a, b, pair.scale), wanted, "{prefix}{name}");
            }
        }
    }

    #[test]
    fn everything_wrong_is_said_at_once() {
        let a = "transformer_blocks.0.attn1.to_q.lora_A.weight";
        let (b, other) = (a.replace("lora_A", "lora_B"), a.replace("to_q", "to_k"));
        let alien = a.replace("attn1.to_q", "ff.net.2");
        let bytes =
            file(&[(a, &[4, 17], 1.0), (&b, &[16, 4], 1.0), (&other, &[4, 16], 1.0), (&alien, &[1], 1.0)]);
        let found = reasons(&bytes);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(
            found[0].contains("[4, 17]") && found[1].contains("one factor") && found[2].contains("ff.net.2")
        );
    }

    #[test]
    fn rubbish_and_nothing_are_no_lora() {
        assert_eq!(reasons(b"rubbish").len(), 1);
        assert_eq!(reasons(&file(&[])), ["it adapts nothing"]);
        let a = "transformer_blocks.0.attn1.to_q.lora_A.weight";
        let bytes = file(&[(a, &[4, 16], f32::NAN), (&a.replace("lora_A", "lora_B"), &[16, 4], 1.0)]);
        assert!(reasons(&bytes)[0].contains("not finite"));
        let missing = read_lora(Path::new("nowhere"), &config(), &Device::flex()).unwrap_err();
        assert_eq!((missing.fault(), missing.kind()), (Fault::Service, "io"));
    }
}
