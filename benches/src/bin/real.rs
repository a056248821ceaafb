//! The published widths on the CPU: what loading takes, and what each precision costs in accuracy.
//!
//! ```text
//! real write FILE LAYERS       a checkpoint of the published widths, audio stream included
//! real header FILE LAYERS      the same with a hole where the weights would be, and what would be read of it
//! real load FILE PRECISION     loads it: tensors, bytes, seconds, memory
//! real step FILE TOKENS        loss and gradients in every precision against float32: memory, time, errors
//! ```
#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::{env, path::Path, time::Instant};

use benches::{
    case::{Case, Result},
    process, published,
};
use lora_train::step;
use ltx_model::{BasePrecision, Checkpoint, Device, Transformer, to_host};

fn main() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["write", file, layers] => published::write(Path::new(file), layers.parse()?, false),
        ["header", file, layers] => header(Path::new(file), layers.parse()?),
        ["load", file, precision] => load(Path::new(file), precision.parse()?),
        ["step", file, tokens] => steps(Path::new(file), tokens.parse()?),
        _ => Err("see the head of benches/src/bin/real.rs".into()),
    }
}

const GB: f64 = 1e9;

fn header(file: &Path, layers: usize) -> Result<()> {
    published::write(file, layers, true)?;
    let wanted = Transformer::check(&Checkpoint::open(file)?, &Device::flex())?;
    let all = std::fs::metadata(file)?.len();
    println!("{layers} layers: {} tensors, {} bytes of a file of {all}", wanted.tensors, wanted.bytes);
    Ok(())
}

fn load(file: &Path, precision: BasePrecision) -> Result<()> {
    let checkpoint = Checkpoint::open(file)?;
    let wanted = Transformer::check(&checkpoint, &Device::flex())?;
    process::reset_peak();
    let (before, read, start) = (process::resident(), process::read(), Instant::now());
    let model = Transformer::load(&checkpoint, &Device::flex(), precision)?;
    let (seconds, read) = (start.elapsed().as_secs_f64(), process::read() - read);
    let (peak, held) = (process::peak() - before, process::resident() - before);
    println!(
        "{precision}: {} blocks, {} tensors of {:.3} GB; {:.3} GB read in {seconds:.2} s, {:.2} GB/s; held {:.3} GB, \
         at most {:.3} GB more while loading",
        model.blocks().len(),
        wanted.tensors,
        wanted.bytes as f64 / GB,
        read as f64 / GB,
        read as f64 / GB / seconds,
        held as f64 / GB,
        (peak - held) as f64 / GB,
    );
    Ok(())
}

/// What a step gives, on the host.
struct Given {
    prediction: Vec<f32>,
    loss: f32,
    gradients: Vec<Vec<f32>>,
}

fn steps(file: &Path, tokens: usize) -> Result<()> {
    let mut right = None;
    for precision in BasePrecision::ALL {
        let before = process::resident();
        let model = Transformer::load(&Checkpoint::open(file)?, &Device::flex(), precision)?;
        let held = process::resident() - before;
        let case = Case::new(model.config(), tokens, model.device())?;
        process::reset_peak();
        let (before, start) = (process::resident(), Instant::now());
        let result = step::gradients_within(&model, &case.lora, &case.batch, 0);
        let (seconds, peak) = (start.elapsed().as_secs_f64(), process::peak() - before);
        let (prediction, _) = step::predict(&model, &case.lora, &case.batch);
        let given = Given {
            prediction: to_host(prediction).0,
            loss: to_host(result.loss).0[0],
            gradients: result.gradients.into_iter().flatten().map(|gradient| to_host(gradient).0).collect(),
        };
        println!(
            "{precision}: weights {:.2} GB, a step {:.2} GB more, {seconds:.2} s; loss {}",
            held as f64 / GB,
            peak as f64 / GB,
            given.loss
        );
        match &right {
            None => right = Some(given),
            Some(right) => errors(&given, right),
        }
    }
    Ok(())
}

fn errors(found: &Given, right: &Given) {
    let each = found.gradients.iter().zip(&right.gradients).map(|(found, right)| off(found, right));
    let (found_all, right_all) = (found.gradients.concat(), right.gradients.concat());
    println!(
        "  off from float32, relative rms: prediction {:.2e}, all gradients {:.2e}, the worst factor's {:.2e}",
        off(&found.prediction, &right.prediction),
        off(&found_all, &right_all),
        each.fold(0.0, f64::max),
    );
}

/// The distance of two vectors, relative to the length of the second.
fn off(found: &[f32], right: &[f32]) -> f64 {
    let square = |x: f32| f64::from(x).powi(2);
    let apart: f64 = found.iter().zip(right).map(|(a, b)| square(a - b)).sum();
    (apart / right.iter().map(|x| square(*x)).sum::<f64>()).sqrt()
}
