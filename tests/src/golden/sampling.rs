//! Kinds of the folder `transformer` that sample.

use std::{error::Error, ops::ControlFlow};

use burn::tensor::Tensor;
use ltx_model::{Guidance, Inpainting, Prompts, Rope, SCHEDULE_TOKENS, SampleStep, Sampler, sigma_schedule};

use super::{
    Case, KindResult, Produced,
    transformer::{grid, model, positions, produced, tensor},
};

/// The last noise level above 0.
const TERMINAL: f32 = 0.1;

/// Schedules by their names: `sigmas_steps<N>_tokens<T or default>`, with `_nostretch` where none is stretched.
pub(super) fn sigma_schedules(case: &Case) -> KindResult {
    let names = case.names().filter(|name| name.starts_with("sigmas_"));
    names.map(|name| schedule(name).ok_or_else(|| format!("`{name}` says no schedule").into())).collect()
}

fn schedule(name: &str) -> Option<Produced> {
    let (steps, rest) = name.strip_prefix("sigmas_steps")?.split_once("_tokens")?;
    let (tokens, terminal) = match rest.strip_suffix("_nostretch") {
        Some(tokens) => (tokens, None),
        None => (rest, Some(TERMINAL)),
    };
    let tokens = if tokens == "default" { SCHEDULE_TOKENS } else { tokens.parse().ok()? };
    let sigmas = sigma_schedule(steps.parse().ok()?, tokens, terminal);
    let count = sigmas.len();
    Some(Produced::f32(name, sigmas, [count]))
}

pub(super) fn sample_euler(case: &Case) -> KindResult {
    let model = model(case)?;
    let clean: Tensor<5> = tensor(case, "clean_latent")?;
    let shape = clean.dims();
    let tokens: Tensor<3> = clean.reshape([1, shape[1], grid(case.params())?.tokens()]).swap_dims(1, 2);
    let kept = case.tensor_f32("mask")?.0.into_iter().map(lora_train::maths::is_kept).collect();
    let inpainting = Inpainting::new(tokens, kept, tensor(case, "noise")?);
    let prompts = Prompts { positive: tensor(case, "context_pos")?, negative: tensor(case, "context_neg")? };
    let rope = Rope::new(&positions(case)?, model.config(), model.device());
    let sampler = Sampler { model: &model, lora: None, rope: &rope, guidance: guidance(case)? };
    let (sigmas, _) = case.tensor_f32("sigmas")?;

    let mut steps: Vec<SampleStep> = Vec::new();
    let mut observe = |step| {
        steps.push(step);
        ControlFlow::Continue(())
    };
    let end = sampler.sample(&inpainting, &prompts, &sigmas, &mut observe).ok_or("it was ended")?;
    let mut all = vec![
        produced("latent_init", inpainting.start()),
        produced("denoise_mask", inpainting.generated().clone()),
        produced("latents", Tensor::stack::<4>(steps.iter().map(|step| step.latents.clone()).collect(), 0)),
        produced("final_latent", end.swap_dims(1, 2).reshape(shape)),
    ];
    for (step, name) in [(steps.first(), "step0"), (steps.last(), "last")] {
        all.extend(predictions(step.ok_or("the schedule has no step")?, name));
    }
    Ok(all)
}

fn guidance(case: &Case) -> Result<Guidance, Box<dyn Error>> {
    let number = |key: &str| case.params()[key].as_f64().ok_or(format!("the parameters have no {key}"));
    let blocks = case.tensor_i64("stg_blocks")?.0;
    let stg_blocks = blocks.into_iter().map(usize::try_from).collect::<Result<_, _>>()?;
    let (cfg, stg, rescale) = (number("cfg")?, number("stg")?, number("rescale")?);
    Ok(Guidance { cfg, stg, stg_blocks, rescale })
}

fn predictions(step: &SampleStep, name: &str) -> Vec<Produced> {
    let all = [
        ("cond", Some(&step.positive)),
        ("uncond", step.negative.as_ref()),
        ("perturbed", step.perturbed.as_ref()),
        ("guided", Some(&step.guided)),
    ];
    let named =
        |(what, x): (&str, Option<&Tensor<3>>)| x.map(|x| produced(format!("{what}_{name}"), x.clone()));
    all.into_iter().filter_map(named).collect()
}
