//! Host tensors of any golden type, from safetensors or JSON.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use half::{bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde_json::Value;

use super::GoldenError;

/// Values with a shape, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Length along each axis; empty for a scalar.
    pub shape: Vec<usize>,
    /// The values.
    pub values: Values,
}

/// Values of one type.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// 32-bit floats; 16-bit IEEE floats are widened to these.
    F32(Vec<f32>),
    /// 64-bit floats, and all numbers of JSON.
    F64(Vec<f64>),
    /// bfloat16, kept as it is because its bits may be compared.
    Bf16(Vec<bf16>),
    /// Bytes and truth values.
    U8(Vec<u8>),
    /// Integers.
    I64(Vec<i64>),
    /// A text, as a scalar.
    Text(String),
}

impl Tensor {
    /// Reads every tensor of a safetensors file.
    pub(super) fn read_all(path: &Path) -> Result<BTreeMap<String, Self>, GoldenError> {
        let bytes = fs::read(path).map_err(GoldenError::io(path))?;
        let file = SafeTensors::deserialize(&bytes).map_err(GoldenError::safetensors(path))?;
        let tensor = |(name, view): (String, TensorView)| match Values::read(&view) {
            Some(values) => Ok((name, Self { shape: view.shape().to_vec(), values })),
            None => {
                let found = format!("`{name}` of type {:?}", view.dtype());
                Err(GoldenError::format(path, found, "floats, integers or bytes"))
            }
        };
        file.tensors().into_iter().map(tensor).collect()
    }

    /// A number, a truth value, a text, or an array of numbers of any depth; none for anything else.
    pub fn from_json(value: &Value) -> Option<Self> {
        if let Value::String(text) = value {
            return Some(Self { shape: Vec::new(), values: Values::Text(text.clone()) });
        }
        let (mut shape, mut numbers) = (Vec::new(), Vec::new());
        let mut first = value;
        while let Value::Array(items) = first {
            shape.push(items.len());
            first = items.first().unwrap_or(&Value::Null);
        }
        flatten(value, &mut numbers)?;
        let whole = numbers.len() == shape.iter().product::<usize>();
        whole.then_some(Self { shape, values: Values::F64(numbers) })
    }

    /// The values as numbers, none for a text.
    pub(super) fn numbers(&self) -> Option<Vec<f64>> {
        Some(match &self.values {
            Values::F32(values) => values.iter().map(|v| f64::from(*v)).collect(),
            Values::F64(values) => values.clone(),
            Values::Bf16(values) => values.iter().map(|v| v.to_f64()).collect(),
            Values::U8(values) => values.iter().map(|v| f64::from(*v)).collect(),
            Values::I64(values) => values.iter().map(|v| *v as f64).collect(),
            Values::Text(_) => return None,
        })
    }

    /// The values as they lie in a file, little-endian.
    pub(super) fn bytes(&self) -> Vec<u8> {
        match &self.values {
            Values::F32(values) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Values::F64(values) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Values::Bf16(values) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Values::U8(values) => values.clone(),
            Values::I64(values) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Values::Text(text) => text.clone().into_bytes(),
        }
    }
}

/// None if something other than a number or a truth value turns up.
fn flatten(value: &Value, numbers: &mut Vec<f64>) -> Option<()> {
    match value {
        Value::Number(number) => numbers.push(number.as_f64()?),
        Value::Bool(truth) => numbers.push(f64::from(u8::from(*truth))),
        Value::Array(items) => items.iter().try_for_each(|item| flatten(item, numbers))?,
        _ => return None,
    }
    Some(())
}

impl Values {
    fn read(view: &TensorView) -> Option<Self> {
        let data = view.data();
        Some(match view.dtype() {
            Dtype::F32 => Self::F32(read(data, f32::from_le_bytes)),
            Dtype::F16 => Self::F32(read(data, |bytes| f16::from_le_bytes(bytes).to_f32())),
            Dtype::F64 => Self::F64(read(data, f64::from_le_bytes)),
            Dtype::BF16 => Self::Bf16(read(data, bf16::from_le_bytes)),
            Dtype::U8 | Dtype::BOOL => Self::U8(data.to_vec()),
            Dtype::I32 => Self::I64(read(data, |bytes| i64::from(i32::from_le_bytes(bytes)))),
            Dtype::I64 => Self::I64(read(data, i64::from_le_bytes)),
            _ => return None,
        })
    }

    /// The words that a tolerance may use for this type.
    pub(super) fn type_names(&self) -> &'static [&'static str] {
        match self {
            Self::F32(_) => &["float32", "float"],
            Self::F64(_) => &["float64", "float"],
            Self::Bf16(_) => &["bfloat16", "float"],
            Self::U8(_) => &["uint8"],
            Self::I64(_) => &["int64", "int"],
            Self::Text(_) => &["text"],
        }
    }
}

fn read<const N: usize, T>(data: &[u8], value: impl Fn([u8; N]) -> T) -> Vec<T> {
    data.as_chunks::<N>().0.iter().map(|bytes| value(*bytes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_arrays_become_tensors_of_their_shape() {
        let tensor = Tensor::from_json(&json!([[1, 2, 3], [4, 5, 6]])).unwrap();
        assert_eq!(tensor.shape, [2, 3]);
        assert_eq!(tensor.values, Values::F64(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
        assert_eq!(Tensor::from_json(&json!(true)).unwrap().values, Values::F64(vec![1.0]));
        assert_eq!(Tensor::from_json(&json!("a")).unwrap().values, Values::Text("a".to_owned()));
        assert_eq!(Tensor::from_json(&json!([])).unwrap().shape, [0]);
    }

    #[test]
    fn ragged_arrays_and_objects_are_no_tensors() {
        assert_eq!(Tensor::from_json(&json!([[1, 2], [3]])), None);
        assert_eq!(Tensor::from_json(&json!({"a": 1})), None);
        assert_eq!(Tensor::from_json(&json!([null])), None);
    }
}
