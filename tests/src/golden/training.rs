//! Kinds of the folder `transformer` that train.

use std::{collections::BTreeMap, error::Error, fs};

use burn::tensor::Tensor;
use half::bf16;
use lora_train::{
    adapters,
    maths::{AdamW, Scheduler, SigmaDraw, SigmaSampler, is_kept, sigma_shift},
    optimizer::{self, Optimizer},
    random::{Draws, Purpose},
    step::{self, Batch},
};
use ltx_model::{BlockLora, LORA_TARGETS, LoraPair, Positions, Rope, Transformer, TransformerLora, to_host};
use serde_json::Value;
use tensor_batch::FrameRate;

use super::{
    Case, KindResult, Produced, Values,
    transformer::{grid, model, produced, tensor},
};

const PREFIX: &str = "diffusion_model.";

fn number(params: &Value, key: &str) -> Result<f64, Box<dyn Error>> {
    params[key].as_f64().ok_or_else(|| format!("the parameters have no {key}").into())
}

/// Adapters from the case's tensors `<group><saved key>`; a `B` that is not there is zero.
fn adapters_of(
    case: &Case,
    group: &str,
    model: &Transformer,
    scale: f64,
) -> Result<TransformerLora, Box<dyn Error>> {
    let mut failed = None;
    let mut read = |module: String| -> Option<LoraPair> {
        let factor = |factor: &str| tensor::<2>(case, &format!("{group}{PREFIX}{module}.{factor}.weight"));
        let lora_a = factor("lora_A").map_err(|e| failed = Some(e)).ok()?;
        let zero = || Tensor::zeros([model.config().inner_dim(), lora_a.dims()[0]], model.device());
        let lora_b = factor("lora_B").unwrap_or_else(|_| zero());
        Some(LoraPair { lora_a, lora_b, scale })
    };
    let zeros = || Tensor::zeros([1, 1], model.device());
    let empty = || LoraPair { lora_a: zeros(), lora_b: zeros(), scale };
    let block = |i: usize| {
        BlockLora::build(|target| read(format!("transformer_blocks.{i}.{target}")).unwrap_or_else(empty))
    };
    let lora = TransformerLora { transformer_blocks: (0..model.blocks().len()).map(block).collect() };
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(lora),
    }
}

/// The adapters under the names that they are saved by.
fn named(lora: &TransformerLora) -> impl Iterator<Item = (String, Tensor<2>)> {
    lora.modules().flat_map(|(module, pair)| {
        [("lora_A", &pair.lora_a), ("lora_B", &pair.lora_b)]
            .map(|(factor, tensor)| (format!("{PREFIX}{module}.{factor}.weight"), tensor.clone()))
    })
}

/// `[B, C, F, H, W]` to tokens `[B, T, C]`.
fn tokens(latents: Tensor<5>) -> Tensor<3> {
    let [batch, channels, frames, height, width] = latents.dims();
    latents.reshape([batch, channels, frames * height * width]).swap_dims(1, 2)
}

fn batch(
    case: &Case,
    model: &Transformer,
    sigma: Vec<f32>,
    noise: Tensor<3>,
) -> Result<Batch, Box<dyn Error>> {
    let fps = case.tensor_f32("fps")?.0.first().copied().ok_or("no fps")?;
    let positions = Positions::of(grid(case.params())?, FrameRate::new(f64::from(fps))?);
    Ok(Batch::new(
        tokens(tensor(case, "latents")?),
        noise,
        case.tensor_f32("mask")?.0.into_iter().map(is_kept).collect(),
        sigma,
        tensor(case, "context")?,
        Rope::new(&positions, model.config(), model.device()),
    )?)
}

pub(super) fn lora_step(case: &Case) -> KindResult {
    let model = &model(case)?;
    check_targets(case.params())?;
    let scale = number(case.params(), "alpha")? / number(case.params(), "rank")?;
    let lora = adapters_of(case, "lora/", model, scale)?;
    let batch = batch(case, model, case.tensor_f32("sigma")?.0, tensor(case, "noise")?)?;
    let noised = batch.noised();
    let (prediction, _) = step::predict(model, &lora, &batch);
    let result = step::gradients(model, &lora, &batch);
    let (count, samples) = (batch.kept().len(), batch.sigma().len());
    let shape = [samples, count / samples];
    let timesteps = lora_train::maths::token_timesteps(batch.sigma(), batch.kept());
    let per_sample = to_host(result.loss.clone()).0;
    let loss = per_sample.iter().map(|l| f64::from(*l)).sum::<f64>() / samples as f64;
    let mut all = vec![
        produced("noisy_latents", noised.latents.clone()),
        produced("targets", noised.target.clone()),
        Produced::f32("timesteps", timesteps, shape),
        produced("loss_mask", (noised.kept.clone().neg() + 1.0).reshape(shape)),
        produced("pred", prediction),
        Produced::f32("loss_per_sample", per_sample, [samples]),
        Produced::number("loss", loss),
        Produced::number(
            "grad_norm",
            optimizer::global_norm(&optimizer::side_by_side(result.gradients.clone())),
        ),
    ];
    let gradients = result.gradients.into_iter().flatten();
    all.extend(named(&lora).zip(gradients).map(|((key, _), g)| produced(format!("grad/{key}"), g)));
    Ok(all)
}

/// Other targets than ours would be another model.
fn check_targets(params: &Value) -> Result<(), Box<dyn Error>> {
    let targets: Vec<&str> =
        params["target_modules"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let same =
        targets.len() == LORA_TARGETS.len() && targets.iter().all(|target| LORA_TARGETS.contains(target));
    if same { Ok(()) } else { Err(format!("adapters of {targets:?} are not implemented").into()) }
}

/// The file that a run saves, byte for byte, from the float32 adapters of the step case beside it.
pub(super) fn lora_weights(case: &Case) -> KindResult {
    let model = model(case)?;
    let source = case.sibling("lora_step")?;
    let lora = match &source {
        Some(step) => adapters_of(step, "lora/", &model, 1.0)?,
        None => adapters_of(case, "", &model, 1.0)?,
    };
    let bytes = adapters::to_safetensors(&lora, &BTreeMap::new())?;
    let file = fs::read(case.path())?;
    let expected = super::Tensor { shape: vec![file.len()], values: Values::U8(file) };
    let shape = [bytes.len()];
    let mut all: Vec<Produced> = named(&lora)
        .map(|(key, tensor)| {
            let values = tensor.clone().into_data().iter::<f32>().map(bf16::from_f32).collect();
            Produced::bf16(key, values, tensor.dims())
        })
        .collect();
    all.push(Produced::u8("file", bytes, shape).against(expected));
    Ok(all)
}

pub(super) fn timestep_samplers(case: &Case) -> KindResult {
    let params = case.params();
    let draws: Vec<SigmaDraw> = {
        let [z, u, p] = ["z", "u", "p"].map(|name| case.tensor_f32(name));
        let (z, u, p) = (z?.0, u?.0, p?.0);
        z.iter()
            .zip(&u)
            .zip(&p)
            .map(|((z, u), p)| SigmaDraw { z: (*z).into(), u: (*u).into(), p: (*p).into() })
            .collect()
    };
    let sigmas = |sampler: &SigmaSampler, tokens: usize| {
        draws.iter().map(|draw| sampler.sigma(tokens, *draw)).collect::<Vec<_>>()
    };
    let lengths: Vec<usize> =
        case.tensor_i64("seq_lengths")?.0.into_iter().map(usize::try_from).collect::<Result<_, _>>()?;
    let default = logit_normal(&params["default"])?;
    let mut all = vec![
        Produced::f32("mu", lengths.iter().map(|n| sigma_shift(*n) as f32).collect(), [lengths.len()]),
        Produced::f32(
            "sigma",
            lengths.iter().flat_map(|n| sigmas(&default, *n)).collect(),
            [lengths.len(), draws.len()],
        ),
    ];
    for name in case.names() {
        if name.starts_with("sigma_") {
            let tokens = number(&params[name], "tokens")? as usize;
            all.push(Produced::f32(name, sigmas(&logit_normal(&params[name])?, tokens), [draws.len()]));
        } else if name.starts_with("uniform_") {
            let bound = |key: &str, absent: f64| params[name][key].as_f64().unwrap_or(absent);
            let uniform = SigmaSampler::Uniform { min: bound("min", 0.0), max: bound("max", 1.0) };
            all.push(Produced::f32(name, sigmas(&uniform, 1), [draws.len()]));
        }
    }
    all.extend(statistics(case, &default, &lengths)?);
    Ok(all)
}

fn logit_normal(params: &Value) -> Result<SigmaSampler, Box<dyn Error>> {
    let (std, eps) = (number(params, "std")?, number(params, "eps")?);
    Ok(SigmaSampler::ShiftedLogitNormal { std, eps, uniform_prob: number(params, "uniform_prob")? })
}

/// Mean and quantiles of a million draws of our own generator for each token count.
fn statistics(case: &Case, sampler: &SigmaSampler, lengths: &[usize]) -> KindResult {
    const DRAWS: usize = 1_000_000;
    let levels = case.tensor_f32("quantile_levels")?.0;
    let (mut means, mut quantiles) = (Vec::new(), Vec::new());
    for (index, tokens) in lengths.iter().enumerate() {
        let mut draws = Draws::new(1, Purpose::Step, index as u64);
        let mut sigmas: Vec<f32> = (0..DRAWS).map(|_| sampler.sigma(*tokens, draws.sigma())).collect();
        sigmas.sort_by(f32::total_cmp);
        means.push((sigmas.iter().map(|s| f64::from(*s)).sum::<f64>() / DRAWS as f64) as f32);
        quantiles.extend(
            levels.iter().map(|level| sigmas[(f64::from(*level) * (DRAWS - 1) as f64).round() as usize]),
        );
    }
    Ok(vec![
        Produced::f32("mean", means, [lengths.len()]),
        Produced::f32("quantiles", quantiles, [lengths.len(), levels.len()]),
    ])
}

pub(super) fn trajectory(case: &Case) -> KindResult {
    let model = model(case)?;
    check_targets(case.params())?;
    let runs = case.params()["runs"].as_object().ok_or("the parameters have no runs")?;
    let mut all = Vec::new();
    for (name, run) in runs {
        all.extend(trained(case, &model, name, run)?);
    }
    Ok(all)
}

fn trained(case: &Case, model: &Transformer, name: &str, run: &Value) -> KindResult {
    let scale = number(case.params(), "alpha")? / number(case.params(), "rank")?;
    let mut lora = adapters_of(case, "init/", model, scale)?;
    let mut optimizer = Optimizer::new(adamw(run)?, &lora);
    let (accumulation, steps) =
        (number(run, "accumulation")? as usize, number(run, "optimizer_steps")? as usize);
    let (scheduler, rate) = (scheduler(run)?, number(run, "learning_rate")?);
    let (noise, sigma): (Tensor<4>, Tensor<2>) = (tensor(case, "noise")?, tensor(case, "sigma")?);
    let (mut losses, mut norms, mut rates) = (Vec::new(), Vec::new(), Vec::new());
    for step in 0..steps {
        let mut sum = None;
        for micro in step * accumulation..(step + 1) * accumulation {
            let noise: Tensor<3> = noise.clone().narrow(0, micro, 1).squeeze_dim(0);
            let sigma = sigma.clone().narrow(0, micro, 1).into_data().iter::<f32>().collect();
            let result = step::gradients(model, &lora, &batch(case, model, sigma, noise)?);
            let loss = to_host(result.loss).0;
            losses.push(loss.iter().sum::<f32>() / loss.len() as f32);
            let gradients = optimizer::side_by_side(result.gradients);
            sum = Some(optimizer::accumulate(sum, gradients, accumulation));
        }
        let gradients = sum.ok_or("accumulation is 0")?;
        let update = optimizer.prepare(&mut lora);
        norms.push(optimizer::global_norm(&gradients) as f32);
        rates.push(scheduler.learning_rate(rate, step, steps) as f32);
        let gradients = optimizer::clip(gradients, f64::from(norms[step]), number(run, "max_grad_norm")?);
        update.apply(&gradients, scheduler.learning_rate(rate, step, steps));
    }
    let (micro_steps, steps) = ([losses.len()], [steps]);
    let mut all = vec![
        Produced::f32(format!("{name}/loss"), losses, micro_steps),
        Produced::f32(format!("{name}/grad_norm"), norms, steps),
        Produced::f32(format!("{name}/lr"), rates, steps),
    ];
    all.extend(named(&lora).map(|(key, tensor)| produced(format!("{name}/final/{key}"), tensor)));
    Ok(all)
}

fn adamw(run: &Value) -> Result<AdamW, Box<dyn Error>> {
    let beta = |i: usize| run["betas"][i].as_f64().ok_or("the run has no betas");
    let (eps, weight_decay) = (number(run, "eps")?, number(run, "weight_decay")?);
    Ok(AdamW { beta1: beta(0)?, beta2: beta(1)?, eps, weight_decay })
}

/// The scheduler that the run names, with the parameters that it gives and the reference's defaults for others.
fn scheduler(run: &Value) -> Result<Scheduler, Box<dyn Error>> {
    let name = run["scheduler"].as_str().ok_or("the run has no scheduler")?;
    let known = [
        Scheduler::Constant,
        Scheduler::LINEAR,
        Scheduler::COSINE,
        Scheduler::COSINE_WITH_RESTARTS,
        Scheduler::POLYNOMIAL,
        Scheduler::STEP,
    ];
    for scheduler in known {
        let mut tagged = serde_json::to_value(scheduler)?;
        if tagged["type"] == name {
            let given =
                run.as_object().into_iter().flatten().filter(|(key, _)| tagged.get(key.as_str()).is_some());
            let given: Vec<_> = given.map(|(key, value)| (key.clone(), value.clone())).collect();
            given.into_iter().for_each(|(key, value)| tagged[key] = value);
            return Ok(serde_json::from_value(tagged)?);
        }
    }
    Err(format!("the scheduler `{name}` is not known").into())
}
