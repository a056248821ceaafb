//! A kind of case: the function that computes what its cases describe.

use std::error::Error;

use half::bf16;

use super::{Case, Tensor, Values};

/// What a kind returns: results, or the error of whatever it called.
pub type KindResult = Result<Vec<Produced>, Box<dyn Error>>;

/// The function of a kind.
pub type Run = fn(&Case) -> KindResult;

/// A kind of golden case.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// The folder of its cases.
    pub folder: &'static str,
    /// Its name in the index, or the beginning of its file names.
    pub name: &'static str,
    /// How to compute it; a kind without is listed and not checked.
    pub run: Option<Run>,
}

impl Kind {
    pub(super) const fn new(folder: &'static str, name: &'static str, run: Run) -> Self {
        Self { folder, name, run: Some(run) }
    }
}

/// A result, under the name that it has in the golden file.
#[derive(Debug, Clone)]
pub struct Produced {
    pub(super) name: String,
    pub(super) tensor: Tensor,
    pub(super) expected: Option<Tensor>,
}

impl Produced {
    /// A result of any type.
    pub fn new(name: impl Into<String>, tensor: Tensor) -> Self {
        Self { name: name.into(), tensor, expected: None }
    }

    /// Floats.
    pub fn f32(name: impl Into<String>, values: Vec<f32>, shape: impl Into<Vec<usize>>) -> Self {
        Self::new(name, Tensor { shape: shape.into(), values: Values::F32(values) })
    }

    /// bfloat16, for files whose bits are compared.
    pub fn bf16(name: impl Into<String>, values: Vec<bf16>, shape: impl Into<Vec<usize>>) -> Self {
        Self::new(name, Tensor { shape: shape.into(), values: Values::Bf16(values) })
    }

    /// Bytes.
    pub fn u8(name: impl Into<String>, values: Vec<u8>, shape: impl Into<Vec<usize>>) -> Self {
        Self::new(name, Tensor { shape: shape.into(), values: Values::U8(values) })
    }

    /// Integers.
    pub fn i64(name: impl Into<String>, values: Vec<i64>, shape: impl Into<Vec<usize>>) -> Self {
        Self::new(name, Tensor { shape: shape.into(), values: Values::I64(values) })
    }

    /// One number.
    pub fn number(name: impl Into<String>, value: f64) -> Self {
        Self::new(name, Tensor { shape: Vec::new(), values: Values::F64(vec![value]) })
    }

    /// A text.
    pub fn text(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(name, Tensor { shape: Vec::new(), values: Values::Text(text.into()) })
    }

    /// Compares with this instead of the golden value of the same name, where the two agree only in part: rows
    /// that a mask leaves out, a rule of ours that departs from the reference on purpose.
    pub fn against(self, expected: Tensor) -> Self {
        Self { expected: Some(expected), ..self }
    }
}
