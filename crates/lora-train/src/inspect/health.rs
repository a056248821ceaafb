//! Whether a module is sound, and how much it changes.

use ndarray::Array2;
use safetensors::Dtype;
use serde::Serialize;

use super::{InspectError, LoraModule, Parts, file::LoraReader, layout::Part, values::floats};

/// Values of a factor that are measured; the largest real ones have about 10 million.
const MOST_VALUES: usize = 1 << 25;
/// Memory and time of measuring grow with the square of the rank.
const LARGEST_RANK: usize = 4096;

/// Whether a module is sound.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "health", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Health {
    /// Every value is finite, and the module does something.
    Sound {
        /// The root mean square of the change to the module's weight, `alpha / rank * B A`.
        delta_rms: f64,
    },
    /// A or B is all zero: the module does nothing.
    Zero {
        /// `A` or `B`.
        factor: &'static str,
    },
    /// A value is infinite or no number.
    NotFinite {
        /// `A` or `B`.
        factor: &'static str,
    },
    /// A or B is missing.
    Unpaired {
        /// `A` or `B`.
        factor: &'static str,
    },
    /// A and B do not fit together.
    Unfit {
        /// The shape of A.
        a: Vec<usize>,
        /// The shape of B.
        b: Vec<usize>,
    },
    /// It is of a kind that is not measured here.
    NotMeasured {
        /// Why.
        reason: String,
    },
}

/// Measures one module.
pub(super) fn module(
    reader: &mut LoraReader,
    name: String,
    parts: &Parts,
) -> Result<LoraModule, InspectError> {
    let shape = |part| parts.key(part).and_then(|key| reader.info(key)).map(|info| info.shape.clone());
    let (a, b) = (shape(Part::A), shape(Part::B));
    let alpha = match parts.key(Part::Alpha) {
        Some(key) => single(reader, key)?,
        None => None,
    };
    let dtype = dtype(reader, parts);
    let size = |shape: &Option<Vec<usize>>| shape.as_ref().and_then(|shape| shape.first().copied());
    let inputs = a.as_ref().filter(|shape| !shape.is_empty()).map(|shape| shape[1..].iter().product());
    Ok(LoraModule {
        name,
        rank: size(&a).or_else(|| b.as_ref().and_then(|shape| shape.get(1).copied())),
        inputs,
        outputs: size(&b),
        alpha,
        dtype,
        health: match (a, b) {
            (Some(a), Some(b)) => measured(reader, parts, (a, b), alpha)?,
            (None, _) => Health::Unpaired { factor: "A" },
            (_, None) => Health::Unpaired { factor: "B" },
        },
    })
}

/// The types of both factors, in words.
fn dtype(reader: &LoraReader, parts: &Parts) -> String {
    let keys = [Part::A, Part::B].into_iter().filter_map(|part| parts.key(part));
    let mut types: Vec<String> =
        keys.filter_map(|key| Some(format!("{:?}", reader.info(key)?.dtype))).collect();
    types.dedup();
    types.join("/")
}

/// The one value of a tensor, if it has one.
fn single(reader: &mut LoraReader, key: &str) -> Result<Option<f64>, InspectError> {
    let is_one = reader.info(key).is_some_and(|info| info.shape.iter().product::<usize>() == 1);
    if !is_one {
        return Ok(None);
    }
    let read = reader.read(key)?;
    Ok(read
        .and_then(|(dtype, bytes)| whole(dtype, &bytes).or_else(|| floats(dtype, &bytes)?.first().copied())))
}

/// Some trainers write alpha as a whole number.
fn whole(dtype: Dtype, bytes: &[u8]) -> Option<f64> {
    match dtype {
        Dtype::I64 => Some(i64::from_le_bytes(bytes.try_into().ok()?) as f64),
        Dtype::I32 => Some(i32::from_le_bytes(bytes.try_into().ok()?).into()),
        _ => None,
    }
}

fn measured(
    reader: &mut LoraReader,
    parts: &Parts,
    (a, b): (Vec<usize>, Vec<usize>),
    alpha: Option<f64>,
) -> Result<Health, InspectError> {
    // A convolution's B has kernels of 1, and its A is flattened: the change is the same product.
    let is_factor = |shape: &[usize]| shape.len() >= 2 && shape.iter().all(|length| *length > 0);
    if !is_factor(&a) || !is_factor(&b) || a[0] != b[1] || b[2..].iter().any(|length| *length != 1) {
        return Ok(Health::Unfit { a, b });
    }
    if parts.has(Part::More) {
        return Ok(not_measured("it is no plain product of A and B (a middle factor, or DoRA)"));
    }
    let rank = a[0];
    if rank > LARGEST_RANK || [&a, &b].iter().any(|shape| shape.iter().product::<usize>() > MOST_VALUES) {
        return Ok(not_measured("it is larger than any real one"));
    }
    let mut factors = Vec::new();
    for (factor, part, shape) in
        [("A", Part::A, [rank, a[1..].iter().product()]), ("B", Part::B, [b[0], rank])]
    {
        let Some(values) = values(reader, parts, part)? else {
            return Ok(not_measured(format!("{} is no type that is measured", dtype(reader, parts))));
        };
        if values.iter().any(|value| !value.is_finite()) {
            return Ok(Health::NotFinite { factor });
        }
        if values.iter().all(|value| *value == 0.0) {
            return Ok(Health::Zero { factor });
        }
        factors.extend(Array2::from_shape_vec(shape, values).ok());
    }
    let [a, b] = factors.as_slice() else { return Ok(not_measured("its shape is not that of its values")) };
    Ok(Health::Sound { delta_rms: alpha.map_or(1.0, |alpha| alpha / rank as f64).abs() * rms(a, b) })
}

fn not_measured(reason: impl Into<String>) -> Health {
    Health::NotMeasured { reason: reason.into() }
}

fn values(reader: &mut LoraReader, parts: &Parts, part: Part) -> Result<Option<Vec<f64>>, InspectError> {
    let Some(key) = parts.key(part) else { return Ok(None) };
    Ok(reader.read(key)?.and_then(|(dtype, bytes)| floats(dtype, &bytes)))
}

/// The root mean square of `B A` without making it: its sum of squares is the trace of `(B^T B) (A A^T)`.
fn rms(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    let squares = (b.t().dot(b) * a.dot(&a.t())).sum();
    (squares.max(0.0) / (a.ncols() * b.nrows()) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_change_is_measured_as_if_it_were_made() {
        let a = Array2::from_shape_fn((3, 7), |(i, j)| (i * 7 + j) as f64 * 0.1 - 0.9);
        let b = Array2::from_shape_fn((5, 3), |(i, j)| 0.3 - (i * 3 + j) as f64 * 0.07);
        let made = b.dot(&a);
        let wanted = (made.iter().map(|value| value * value).sum::<f64>() / 35.0).sqrt();
        assert!((rms(&a, &b) - wanted).abs() < 1e-12 * wanted, "{} {wanted}", rms(&a, &b));
    }
}
