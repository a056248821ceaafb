//! Kinds of the folder `transformer`: the model, the training step, sampling.

use std::error::Error;

use burn::tensor::{Tensor, TensorData};
use ltx_model::{
    Checkpoint, Positions, Rope, TokenTimesteps, Transformer, TransformerConfig, TransformerInput,
    rope_frequencies, sinusoid,
};
use serde_json::Value;
use tensor_batch::{FrameRate, LatentGrid};

use super::{Case, GoldenError, Kind, KindResult, Produced, sampling, training};

const FOLDER: &str = "transformer";

pub(super) const KINDS: &[Kind] = &[
    Kind::new(FOLDER, "rope", rope),
    Kind::new(FOLDER, "timestep", timestep),
    Kind::new(FOLDER, "block", block),
    Kind::new(FOLDER, "forward", forward),
    Kind::new(FOLDER, "stg_forward", stg_forward),
    Kind::new(FOLDER, "lora_step", training::lora_step),
    Kind::new(FOLDER, "lora_weights", training::lora_weights),
    Kind::new(FOLDER, "timestep_samplers", training::timestep_samplers),
    Kind::new(FOLDER, "trajectory", training::trajectory),
    Kind::new(FOLDER, "sigma_schedule", sampling::sigma_schedules),
    Kind::new(FOLDER, "sample_euler", sampling::sample_euler),
];

/// The kinds that show what rounding the frozen weights costs.
pub fn rounded_kinds() -> Vec<Kind> {
    KINDS.iter().filter(|kind| ["block", "forward", "lora_step"].contains(&kind.name)).copied().collect()
}

/// The checkpoint that lies beside the cases.
pub(super) fn model(case: &Case) -> Result<Transformer, Box<dyn Error>> {
    let checkpoint = Checkpoint::open(&case.folder().checkpoint()?)?;
    Ok(Transformer::load(&checkpoint, case.device(), case.folder().setting().precision)?)
}

/// A tensor of the case on its device.
pub(super) fn tensor<const D: usize>(case: &Case, name: &str) -> Result<Tensor<D>, GoldenError> {
    let (values, shape) = case.tensor_f32(name)?;
    let wrong = || GoldenError::Missing { name: name.to_owned(), wanted: "a tensor of another rank" };
    let shape: [usize; D] = shape.try_into().map_err(|_| wrong())?;
    Ok(Tensor::from_data(TensorData::new(values, shape), case.device()))
}

/// What the code computed, under the name of its golden tensor.
pub(super) fn produced<const D: usize>(name: impl Into<String>, tensor: Tensor<D>) -> Produced {
    let shape = tensor.dims().to_vec();
    Produced::f32(name, tensor.into_data().iter::<f32>().collect(), shape)
}

/// The latent grid `[frames, height, width]` of the parameters.
pub(super) fn grid(params: &Value) -> Result<LatentGrid, Box<dyn Error>> {
    let side = |i: usize| params["latent_grid"][i].as_u64().map(|n| n as usize);
    let (frames, height, width) = (side(0), side(1), side(2));
    let (Some(frames), Some(height), Some(width)) = (frames, height, width) else {
        return Err("the parameters have no latent grid".into());
    };
    Ok(LatentGrid { frames, height, width })
}

fn rope(case: &Case) -> KindResult {
    let grid = grid(case.params())?;
    let bounds = |name: &str, bounds: [Vec<[f32; 2]>; 3]| {
        Produced::f32(name, bounds.concat().as_flattened().to_vec(), [1, 3, grid.tokens(), 2])
    };
    let mut all = vec![
        bounds("latent_bounds", Positions::latent_bounds(grid)),
        bounds("pixel_bounds", Positions::pixel_bounds(grid)),
    ];
    for name in case.names() {
        if let Some(fps) = name.strip_prefix("positions_fps") {
            all.push(bounds(name, Positions::of(grid, FrameRate::new(fps.parse()?)?).bounds));
        } else if let Some(label) = name.strip_prefix("freq_grid_") {
            let config = rope_config(case, label)?;
            let count = config.inner_dim() / 6;
            let values = rope_frequencies(count, config.positional_embedding_theta);
            all.push(Produced::f32(name, values, [count]));
        } else if let Some((label, fps)) = name.strip_prefix("cos_").and_then(|rest| rest.split_once("_fps"))
        {
            let table = rope_table(case, grid, label, fps)?;
            all.push(produced(name, listed(case, label, table.cos)?));
            all.push(produced(name.replacen("cos", "sin", 1), listed(case, label, table.sin)?));
        } else if let Some(label) = name.strip_prefix("apply_in_") {
            all.push(applied(case, grid, label)?);
        }
    }
    Ok(all)
}

/// The numbers of the model called `label` in the parameters.
fn rope_config(case: &Case, label: &str) -> Result<TransformerConfig, Box<dyn Error>> {
    let params = case.params();
    let number = |key: &str| params[label][key].as_u64().ok_or(format!("{label} has no {key}"));
    let (width, heads) = (number("inner_dim")? as usize, number("heads")? as usize);
    let axis = |i: usize| params["max_pos"][i].as_f64().ok_or("no max_pos");
    Ok(TransformerConfig {
        num_attention_heads: heads,
        attention_head_dim: width / heads,
        positional_embedding_theta: params["theta"].as_f64().ok_or("no theta")?,
        positional_embedding_max_pos: [axis(0)?, axis(1)?, axis(2)?],
        ..TransformerConfig::ltx_2_3()
    })
}

fn rope_table(case: &Case, grid: LatentGrid, label: &str, fps: &str) -> Result<Rope, Box<dyn Error>> {
    let positions = Positions::of(grid, FrameRate::new(fps.parse()?)?);
    Ok(Rope::new(&positions, &rope_config(case, label)?, case.device()))
}

/// The tokens of a table that the file lists, or all.
fn listed(case: &Case, label: &str, table: Tensor<4>) -> Result<Tensor<4>, Box<dyn Error>> {
    let name = format!("{label}_token_index");
    if !case.has(&name) {
        return Ok(table);
    }
    let index: Vec<i32> =
        case.tensor_i64(&name)?.0.into_iter().map(i32::try_from).collect::<Result<_, _>>()?;
    let count = index.len();
    Ok(table.select(2, Tensor::from_data(TensorData::new(index, [count]), case.device())))
}

fn applied(case: &Case, grid: LatentGrid, label: &str) -> Result<Produced, Box<dyn Error>> {
    let prefix = format!("cos_{label}_fps");
    let fps = case.names().find_map(|name| name.strip_prefix(&prefix)).ok_or("no table to apply")?;
    let table = rope_table(case, grid, label, fps)?;
    let x: Tensor<3> = tensor(case, &format!("apply_in_{label}"))?;
    let ([batch, tokens, width], heads) = (x.dims(), table.cos.dims()[1]);
    let split = x.reshape([batch, tokens, heads, width / heads]).swap_dims(1, 2);
    let merged: Tensor<3> = table.apply(split).swap_dims(1, 2).reshape([batch, tokens, width]);
    Ok(produced(format!("apply_out_{label}"), merged))
}

fn timestep(case: &Case) -> KindResult {
    let model = model(case)?;
    let (timesteps, shape) = case.tensor_f32("timesteps")?;
    let scale = model.config().timestep_scale_multiplier as f32;
    let scaled: Vec<f32> = timesteps.iter().map(|t| t * scale).collect();
    let (adaln, embedded) = model.adaln_single().forward(&scaled, model.device());
    let (prompt, prompt_embedded) = model.prompt_adaln_single().forward(&scaled, model.device());
    let rows = sinusoid(&scaled);
    let width = rows.len() / scaled.len();
    Ok(vec![
        Produced::f32("sinusoid", rows, [scaled.len(), width]),
        Produced::f32("scaled", scaled, shape),
        produced("adaln", adaln),
        produced("adaln_embedded", embedded),
        produced("prompt_adaln", prompt),
        produced("prompt_adaln_embedded", prompt_embedded),
    ])
}

/// What a forward case gives the model besides the latents.
struct Given {
    timesteps: TokenTimesteps,
    sigma: Vec<f32>,
    context: Tensor<3>,
    context_mask: Option<Tensor<2>>,
    rope: Rope,
}

impl Given {
    fn read(case: &Case, model: &Transformer) -> Result<Self, Box<dyn Error>> {
        let (timesteps, shape) = case.tensor_f32("timesteps")?;
        let mask = case.has("context_mask").then(|| tensor(case, "context_mask")).transpose()?;
        Ok(Self {
            timesteps: TokenTimesteps::new(shape[0], &timesteps),
            sigma: case.tensor_f32("sigma")?.0,
            context: tensor(case, "context")?,
            context_mask: mask,
            rope: Rope::new(&positions(case)?, model.config(), model.device()),
        })
    }

    fn input(&self, latents: Tensor<3>) -> TransformerInput<'_> {
        TransformerInput {
            latents,
            timesteps: &self.timesteps,
            sigma: &self.sigma,
            context: self.context.clone(),
            context_mask: self.context_mask.clone(),
            rope: &self.rope,
        }
    }
}

/// The positions of the first sample; all samples of a batch share their grid.
pub(super) fn positions(case: &Case) -> Result<Positions, Box<dyn Error>> {
    let (values, shape) = case.tensor_f32("positions")?;
    let tokens = *shape.get(2).ok_or("positions are [B, 3, T, 2]")?;
    let axis = |a: usize| values[2 * a * tokens..2 * (a + 1) * tokens].as_chunks().0.to_vec();
    Ok(Positions { bounds: [axis(0), axis(1), axis(2)] })
}

fn block(case: &Case) -> KindResult {
    let model = model(case)?;
    let given = Given::read(case, &model)?;
    let index = case.tensor_i64("block_index")?.0.first().map_or(0, |i| *i as usize);
    let block = model.blocks().get(index).ok_or("the model has no such block")?;
    let x: Tensor<3> = tensor(case, "x_in")?;
    let [batch, tokens, _] = x.dims();
    let latents = Tensor::zeros([batch, tokens, model.config().in_channels], model.device());
    // The format of what is computed is that of the residual stream.
    let x = x.cast(model.embed(latents.clone()).dtype());
    let conditions = model.conditions(&given.input(latents));
    // One table serves all samples of a batch.
    let table = |name: &str, table: &Tensor<4>| produced(name, table.clone().repeat_dim(0, batch));
    let mut all = vec![table("cos", &given.rope.cos), table("sin", &given.rope.sin)];
    let out = block.forward_observed(x, &conditions, &mut |name, x| all.push(produced(name, x.clone())));
    all.push(produced("x_out", out));
    Ok(all)
}

fn forward(case: &Case) -> KindResult {
    let model = model(case)?;
    let given = Given::read(case, &model)?;
    let velocity = model.forward(&given.input(tensor(case, "latent")?), None, &[]);
    Ok(vec![produced("velocity", velocity)])
}

fn stg_forward(case: &Case) -> KindResult {
    let model = model(case)?;
    let given = Given::read(case, &model)?;
    let input = given.input(tensor(case, "latent")?);
    let blocks =
        case.tensor_i64("stg_blocks")?.0.into_iter().map(usize::try_from).collect::<Result<Vec<_>, _>>()?;
    let all: Vec<usize> = (0..model.blocks().len()).collect();
    Ok(vec![
        produced("velocity", model.forward(&input, None, &[])),
        produced("velocity_stg", model.forward(&input, None, &blocks)),
        produced("velocity_stg_all_blocks", model.forward(&input, None, &all)),
    ])
}
