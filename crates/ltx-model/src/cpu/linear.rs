//! Linear layers with a low-rank branch: products that add to what is there, and nothing else.

use super::{
    matrix::{Matrix, Store, Target, Threads, multiply},
    parallel::by_rows,
};

/// `weight` `[out, in]`, and `bias` `[out]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frozen<'a> {
    pub(crate) weight: &'a [f32],
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

impl Frozen<'_> {
    /// `x W^T + b`.
    pub(crate) fn forward(&self, x: &[f32]) -> Vec<f32> {
        let rows = x.len() / self.inputs;
        let mut y = vec![0.0; rows * self.outputs];
        by_rows(&mut y, self.outputs, |_, y| y.copy_from_slice(self.bias));
        let (x, weight) = (Matrix::new(x, rows, self.inputs), self.matrix());
        multiply(Target::new(&mut y, rows, self.outputs), x, weight.t(), 1.0, Store::Add, Threads::All);
        y
    }

    /// The gradient of x.
    pub(crate) fn backward(&self, grad: &[f32]) -> Vec<f32> {
        let rows = grad.len() / self.outputs;
        let mut dx = vec![0.0; rows * self.inputs];
        let grad = Matrix::new(grad, rows, self.outputs);
        let target = Target::new(&mut dx, rows, self.inputs);
        multiply(target, grad, self.matrix(), 1.0, Store::Replace, Threads::All);
        dx
    }

    fn matrix(&self) -> Matrix<'_> {
        Matrix::new(self.weight, self.outputs, self.inputs)
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
        let mut low = vec![0.0; rows * self.rank];
        let x = Matrix::new(x, rows, inputs);
        multiply(Target::new(&mut low, rows, self.rank), x, self.a().t(), 1.0, Store::Replace, Threads::All);
        let low_rows = Matrix::new(&low, rows, self.rank);
        let y = Target::new(y, rows, outputs);
        multiply(y, low_rows, self.b().t(), self.scale, Store::Add, Threads::All);
        low
    }

    /// The gradients of the factors; `low` is what [`forward`](Self::forward) gave.
    pub(crate) fn backward(&self, x: &[f32], low: &[f32], grad: &[f32]) -> BranchGradients {
        let (inputs, outputs) = (self.a.len() / self.rank, self.b.len() / self.rank);
        let rows = x.len() / inputs;
        let (mut of_low, mut of_a, mut of_b) =
            (vec![0.0; low.len()], vec![0.0; self.a.len()], vec![0.0; self.b.len()]);
        let product = |out: &mut [f32], shape: [usize; 2], a: Matrix<'_>, b: Matrix<'_>, scale| {
            multiply(Target::new(out, shape[0], shape[1]), a, b, scale, Store::Replace, Threads::All);
        };
        let grad = Matrix::new(grad, rows, outputs);
        product(&mut of_low, [rows, self.rank], grad, self.b(), self.scale);
        let low = Matrix::new(low, rows, self.rank);
        product(&mut of_b, [outputs, self.rank], grad.t(), low, self.scale);
        let rows_of_low = Matrix::new(&of_low, rows, self.rank);
        product(&mut of_a, [self.rank, inputs], rows_of_low.t(), Matrix::new(x, rows, inputs), 1.0);
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
