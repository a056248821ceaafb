//! Linear layers with a low-rank branch: products that add to what is there, and nothing else.

use half::bf16;

use super::{
    matrix::{Matrix, Store, Target, Threads, multiply, product},
    parallel::{self, by_rows},
};
use crate::int8::INT8_BLOCK;

/// A weight as it is kept; it is widened to float32 some rows at a time, as it is multiplied.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Weight<'a> {
    F32(&'a [f32]),
    Bf16(&'a [bf16]),
    /// Integers, and the scale of every [`INT8_BLOCK`] of them.
    Int8 {
        values: &'a [i8],
        scales: &'a [bf16],
    },
}

/// Values that are widened at a time: few enough to stay near the processor until they are multiplied.
const PANEL: usize = 1 << 20;

/// Rows that are widened at a time at least, however long: a product needs some to be worth its preparation.
const LEAST_ROWS: usize = 64;

/// `weight` `[out, in]`, and `bias` `[out]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frozen<'a> {
    pub(crate) weight: Weight<'a>,
    pub(crate) bias: &'a [f32],
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
}

/// `a` `[rank, in]`, `b` `[out, rank]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Branch<'a> {
    pub(crate) a: &'a [f32],
    pub(crate) b: &'a [f32],
    pub(crate) rank: usize,
    pub(crate) scale: f32,
}

impl Weight<'_> {
    /// Row `row`, of as many values as there is room for.
    #[inline(always)]
    fn widen(&self, row: usize, out: &mut [f32]) {
        let width = out.len();
        match self {
            Self::F32(weight) => out.copy_from_slice(&weight[row * width..][..width]),
            Self::Bf16(weight) => {
                for (out, value) in out.iter_mut().zip(&weight[row * width..][..width]) {
                    *out = widened(*value);
                }
            }
            Self::Int8 { values, scales } => {
                let values = values[row * width..][..width].as_chunks::<INT8_BLOCK>().0;
                let blocks = width / INT8_BLOCK;
                let scales = &scales[row * blocks..][..blocks];
                let out = out.as_chunks_mut::<INT8_BLOCK>().0;
                for ((out, values), scale) in out.iter_mut().zip(values).zip(scales) {
                    let scale = widened(*scale);
                    *out = values.map(|value| scale * f32::from(value));
                }
            }
        }
    }
}

/// Without the care for signalling NaNs of the conversion that comes with the type.
#[inline(always)]
fn widened(value: bf16) -> f32 {
    f32::from_bits(u32::from(value.to_bits()) << 16)
}

impl Frozen<'_> {
    /// `x W^T + b`.
    pub(crate) fn forward(&self, x: &[f32]) -> Vec<f32> {
        let rows = x.len() / self.inputs;
        let mut y = parallel::rows(rows * self.outputs, self.outputs, |_, y| y.copy_from_slice(self.bias));
        let x = Matrix::new(x, rows, self.inputs);
        self.panels(|first, count, panel| {
            let target = Target::strided(&mut y[first..], rows, count, self.outputs);
            multiply(target, x, panel.t(), 1.0, Store::Add, Threads::All);
        });
        y
    }

    /// The gradient of x.
    pub(crate) fn backward(&self, grad: &[f32]) -> Vec<f32> {
        let rows = grad.len() / self.outputs;
        let mut dx = None;
        self.panels(|first, count, panel| {
            let grad = Matrix::strided(&grad[first..], rows, count, [self.outputs, 1]);
            match &mut dx {
                None => dx = Some(product(grad, panel, 1.0)),
                Some(dx) => {
                    multiply(Target::new(dx, rows, self.inputs), grad, panel, 1.0, Store::Add, Threads::All);
                }
            }
        });
        dx.unwrap_or_default()
    }

    /// Hands the weight to `work` in float32, some rows at a time: the first one's number, how many, and they.
    fn panels(&self, mut work: impl FnMut(usize, usize, Matrix<'_>)) {
        if let Weight::F32(weight) = self.weight {
            return work(0, self.outputs, Matrix::new(weight, self.outputs, self.inputs));
        }
        let most = (PANEL / self.inputs).max(LEAST_ROWS).min(self.outputs);
        let mut panel = vec![0.0; most * self.inputs];
        for first in (0..self.outputs).step_by(most) {
            let rows = most.min(self.outputs - first);
            let panel = &mut panel[..rows * self.inputs];
            by_rows(panel, self.inputs, |row, out| self.weight.widen(first + row, out));
            work(first, rows, Matrix::new(panel, rows, self.inputs));
        }
    }
}

/// What the backward pass of a branch gives.
#[derive(Debug)]
pub(crate) struct BranchGradients {
    pub(crate) a: Vec<f32>,
    pub(crate) b: Vec<f32>,
    /// The gradient of `scale x A^T`, `[rows, rank]`.
    pub(crate) low: Vec<f32>,
}

impl Branch<'_> {
    /// Adds `scale (x A^T) B^T` to `y`, and hands back `x A^T`.
    pub(crate) fn forward(&self, x: &[f32], y: &mut [f32]) -> Vec<f32> {
        let (inputs, outputs) = (self.a.len() / self.rank, self.b.len() / self.rank);
        let rows = x.len() / inputs;
        let low = product(Matrix::new(x, rows, inputs), self.a().t(), 1.0);
        let low_rows = Matrix::new(&low, rows, self.rank);
        let y = Target::new(y, rows, outputs);
        multiply(y, low_rows, self.b().t(), self.scale, Store::Add, Threads::All);
        low
    }

    /// The gradients of the factors; `low` is what [`forward`](Self::forward) gave.
    pub(crate) fn backward(&self, x: &[f32], low: &[f32], grad: &[f32]) -> BranchGradients {
        let (inputs, outputs) = (self.a.len() / self.rank, self.b.len() / self.rank);
        let rows = x.len() / inputs;
        let grad = Matrix::new(grad, rows, outputs);
        let of_low = product(grad, self.b(), self.scale);
        let of_b = product(grad.t(), Matrix::new(low, rows, self.rank), self.scale);
        let rows_of_low = Matrix::new(&of_low, rows, self.rank);
        let of_a = product(rows_of_low.t(), Matrix::new(x, rows, inputs), 1.0);
        BranchGradients { a: of_a, b: of_b, low: of_low }
    }

    /// Adds the branch's part of the gradient of x to `dx`.
    pub(crate) fn add_input_gradient(&self, low: &[f32], dx: &mut [f32]) {
        let (rows, inputs) = (low.len() / self.rank, self.a.len() / self.rank);
        let low = Matrix::new(low, rows, self.rank);
        multiply(Target::new(dx, rows, inputs), low, self.a(), 1.0, Store::Add, Threads::All);
    }

    fn a(&self) -> Matrix<'_> {
        Matrix::new(self.a, self.rank, self.a.len() / self.rank)
    }

    fn b(&self) -> Matrix<'_> {
        Matrix::new(self.b, self.b.len() / self.rank, self.rank)
    }
}
