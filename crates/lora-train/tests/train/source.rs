//! Examples in memory, the tiny model, and a run of them.

use std::{cell::Cell, fmt, ops::ControlFlow, path::Path};

use lora_train::{TrainError, TrainEvent, TrainPlan, TrainedLora, train};
use ltx_model::{BasePrecision, Checkpoint, Device, Transformer, TransformerLora, to_host};
use ndarray::{Array2, Array3, Array4};
use tensor_batch::{Blame, Fault, FrameRate, LatentExample, LatentMask, LatentSource, Mask, Rank, Stem};

/// Examples in memory; reading number `broken` fails, and from read `poisoned` on (counted from 1) latents hold a
/// value that is no number.
pub(crate) struct Source {
    pub(crate) examples: Vec<LatentExample>,
    pub(crate) broken: Option<usize>,
    pub(crate) poisoned: usize,
    pub(crate) reads: Cell<usize>,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Broken(usize);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "example {} is broken", self.0)
    }
}

impl std::error::Error for Broken {}

impl Blame for Broken {
    fn fault(&self) -> Fault {
        Fault::Request
    }

    fn kind(&self) -> &'static str {
        "broken"
    }
}

impl LatentSource for Source {
    type Error = Broken;

    fn len(&self) -> usize {
        self.examples.len()
    }

    fn get(&self, index: usize) -> Result<LatentExample, Broken> {
        self.reads.set(self.reads.get() + 1);
        if self.broken == Some(index) {
            return Err(Broken(index));
        }
        let example = &self.examples[index];
        if self.reads.get() < self.poisoned {
            return Ok(example.clone());
        }
        let mut latents = example.latents().clone();
        latents[[5, 1, 1, 1]] = f32::NAN;
        let (keep, context) = (example.keep().clone(), example.context().clone());
        Ok(LatentExample::new(example.stem().clone(), latents, keep, context, example.rate()).unwrap())
    }
}

/// An example of 8 cells, the second half of them generated.
pub(crate) fn example(name: &str, shift: f32) -> LatentExample {
    let latents = Array4::from_shape_fn((128, 2, 2, 2), |(c, f, h, w)| {
        ((c + 3 * f + 5 * h + 7 * w) as f32 * 0.37 + shift).sin()
    });
    let keep = Array3::from_shape_fn((2, 2, 2), |(f, _, _)| f == 0);
    let keep = LatentMask::new(Mask::new(keep)).unwrap();
    let context = Array2::from_shape_fn((16, 128), |(l, d)| ((l * d) as f32 * 0.11 + shift).cos());
    LatentExample::new(Stem::new(name), latents, keep, context, FrameRate::DEFAULT).unwrap()
}

/// Examples `a`, `b`, `c`, ...
pub(crate) fn source(count: u8) -> Source {
    let named = |i: u8| example(&char::from(b'a' + i).to_string(), f32::from(i));
    let examples = (0..count).map(named).collect();
    Source { examples, broken: None, poisoned: usize::MAX, reads: Cell::new(0) }
}

pub(crate) fn model() -> Transformer {
    model_beside(BasePrecision::Float32, 0)
}

/// The model with some blocks' weights on the host.
pub(crate) fn model_beside(precision: BasePrecision, hosted: usize) -> Transformer {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/tiny/tiny-ltx-2.3.safetensors");
    Transformer::load_beside(&Checkpoint::open(&path).unwrap(), &Device::flex(), precision, hosted).unwrap()
}

pub(crate) fn plan(seed: u64) -> TrainPlan {
    TrainPlan { steps: 12, rank: Rank::R8, learning_rate: 3e-3, seed, ..TrainPlan::default() }
}

pub(crate) type Trained = Result<TrainedLora, TrainError<Broken>>;

pub(crate) fn run(source: &Source, plan: &TrainPlan) -> (Trained, Vec<TrainEvent>) {
    let mut events = Vec::new();
    let result = train(source, &model(), plan, &mut |event| {
        events.push(event);
        ControlFlow::Continue(())
    });
    (result, events)
}

/// Every bit of the adapters.
pub(crate) fn bits(lora: &TransformerLora) -> Vec<u32> {
    let factors = lora.modules().flat_map(|(_, pair)| [pair.lora_a.clone(), pair.lora_b.clone()]);
    factors.flat_map(|factor| to_host(factor).0).map(f32::to_bits).collect()
}
