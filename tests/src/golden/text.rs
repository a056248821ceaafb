//! Kinds of the folder `text`: the tokenizer, the text encoder and the connector.

use std::error::Error;
use std::fs;

use burn::tensor::{Tensor, TensorData};
use ltx_model::{Checkpoint, TextEncoder, Tokenizer, Tokens, normalise_states};
use serde_json::Value;

use super::{Case, Folder, GoldenError, Kind, KindResult, Produced};

const FOLDER: &str = "text";

pub(super) const KINDS: &[Kind] = &[
    Kind::new(FOLDER, "tokens", tokens),
    Kind::new(FOLDER, "text", text),
    Kind::new(FOLDER, "connector-internals", connector_internals),
    Kind::new(FOLDER, "feature-norm-unit", feature_norm),
];

/// The ids of every prompt at every length.
fn tokens(case: &Case) -> KindResult {
    let tokenizer = Tokenizer::open(&case.folder().gemma()?)?;
    let mut produced = Vec::new();
    for (prompt, entry) in case.json()?.as_object().into_iter().flatten() {
        let text = entry["prompt"].as_str().ok_or("a prompt has no text")?;
        for (key, wanted) in entry.as_object().into_iter().flatten() {
            let Some(length) = key.strip_prefix("max_length_") else { continue };
            let tokens = tokenizer.encode(text, length.parse()?)?;
            let expected = super::Tensor::from_json(&wanted["ids_valid"]).ok_or("a prompt has no ids")?;
            let ids = tokens.ids().iter().copied().map(i64::from).collect();
            let name = format!("{prompt}/{key}/ids");
            produced.push(Produced::i64(name, ids, [tokens.ids().len()]).against(expected));
        }
    }
    Ok(produced)
}

/// One prompt on its whole way. Gemma starts from the golden ids, so that only `input_ids` depends on the
/// tokenizer.
fn text(case: &Case) -> KindResult {
    let encoder = encoder(case.folder())?;
    let (row, shape) = case.tensor_i64("input_ids")?;
    let length = row.len();
    let ids = valid(case)?.into_iter().map(|i| u32::try_from(row[i])).collect::<Result<_, _>>()?;
    let tokens = Tokens::new(ids).ok_or("no token is valid")?;
    let states = encoder.gemma().hidden_states(std::slice::from_ref(&tokens))?.remove(0);
    let features = encoder.features().forward(states.clone());
    let padded = encoder.features().left_padded(features.clone(), length);
    let context = encoder.connector().forward(features, length);
    let mut produced = input_ids(case, encoder.tokenizer(), &shape)?;
    produced.extend([
        floats("hidden_states_valid", Tensor::stack::<3>(states.clone(), 0)),
        floats("hidden_state_last_valid", states.into_iter().next_back().ok_or("no hidden states")?),
        floats("video_features", padded.unsqueeze::<3>()),
        floats("context", context.unsqueeze::<3>()),
    ]);
    Ok(produced)
}

/// Ids and mask of the case's prompt, where the folder tells what it says.
fn input_ids(case: &Case, tokenizer: &Tokenizer, shape: &[usize]) -> KindResult {
    let path = case.folder().path().join("tokens.json");
    let key = case.params()["prompt_key"].as_str().filter(|_| path.is_file());
    let Some(key) = key else { return Ok(Vec::new()) };
    let bytes = fs::read(&path).map_err(GoldenError::io(&path))?;
    let prompts: Value = serde_json::from_slice(&bytes).map_err(GoldenError::json(&path))?;
    let prompt = prompts[key]["prompt"].as_str().ok_or("the case's prompt is not in tokens.json")?;
    let length = shape.iter().product();
    let tokens = tokenizer.encode(prompt, length)?;
    let ids = tokenizer.left_padded(&tokens, length).into_iter().map(i64::from).collect();
    let padding = length - tokens.ids().len();
    let mask = (0..length).map(|i| i64::from(i >= padding)).collect();
    Ok(vec![Produced::i64("input_ids", ids, shape), Produced::i64("attention_mask", mask, shape)])
}

/// The connector step by step, from given features.
fn connector_internals(case: &Case) -> KindResult {
    let encoder = encoder(case.folder())?;
    let connector = encoder.connector();
    let (features, shape) = case.tensor_f32("features_left_padded")?;
    let &[1, length, width] = &shape[..] else { return Err("the features are not those of one row".into()) };
    let valid = valid(case)?;
    let rows: Vec<f32> = valid.iter().flat_map(|i| &features[i * width..][..width]).copied().collect();
    let device = case.device();
    let features = Tensor::<2>::from_data(TensorData::new(rows, [valid.len(), width]), device);
    let filled: Tensor<3> = connector.with_registers(features.clone(), length).unsqueeze();
    let rope = connector.rope(length, device);
    let block = connector.blocks().first().ok_or("the connector has no block")?;
    Ok(vec![
        floats("with_registers", filled.clone()),
        floats("after_block_0", block.forward(filled, &rope)),
        floats("rope_cos", rope.cos),
        floats("rope_sin", rope.sin),
        floats("output", connector.forward(features, length).unsqueeze::<3>()),
    ])
}

/// Normalised and flattened hidden states; rows of padding are zeros.
fn feature_norm(case: &Case) -> KindResult {
    let (stacked, shape) = case.tensor_f32("hidden_stacked")?;
    let &[batch, tokens, width, layers] = &shape[..] else { return Err("not stacked hidden states".into()) };
    let device = case.device();
    let stacked = Tensor::<3>::from_data(TensorData::new(stacked, [batch * tokens, width, layers]), device);
    let states = (0..layers).map(|l| stacked.clone().narrow(2, l, 1).squeeze_dim(2)).collect();
    let normed: Vec<f32> = normalise_states(states).into_data().iter().collect();
    let columns = width * layers;
    let mut rows = vec![0.0; normed.len()];
    for i in valid(case)? {
        rows[i * columns..][..columns].copy_from_slice(&normed[i * columns..][..columns]);
    }
    Ok(vec![Produced::f32("normed", rows, [batch, tokens, columns])])
}

fn encoder(folder: &Folder) -> Result<TextEncoder, Box<dyn Error>> {
    let checkpoint = Checkpoint::open(&folder.checkpoint()?)?;
    Ok(TextEncoder::load(&folder.gemma()?, &checkpoint, &folder.setting().device)?)
}

/// Where the attention mask is 1.
fn valid(case: &Case) -> Result<Vec<usize>, GoldenError> {
    let (mask, _) = case.tensor_i64("attention_mask")?;
    Ok((0..mask.len()).filter(|i| mask[*i] != 0).collect())
}

fn floats<const D: usize>(name: &str, tensor: Tensor<D>) -> Produced {
    let shape = tensor.dims();
    Produced::f32(name, tensor.into_data().iter().collect(), shape)
}
