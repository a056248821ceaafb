//! Where cases are computed, in which precision, and what that may cost.

use ltx_model::{BasePrecision, Device};
use serde_json::{Value, json};

/// The root mean square of the relative error of a number that was rounded to bf16, and of a weight that became an
/// 8-bit integer: `docs/precision.md`.
const BF16: f64 = 1.7e-3;
const INT8: f64 = 5.4e-3;

/// Rounded layers on the way through the golden model: 10 in each of 4 blocks and 4 outside.
const WEIGHTS: f64 = 44.0;
/// Tensors that are rounded on that way where what is computed is bf16, too: 26 in each block and 4 outside.
const ACTIVATIONS: f64 = 108.0;

/// How cases are computed.
#[derive(Debug, Clone)]
pub struct Setting {
    /// On which device.
    pub device: Device,
    /// How the transformer's frozen weights are kept.
    pub precision: BasePrecision,
    /// What every case may be off by; none means as its index says.
    pub tolerance: Option<Value>,
}

impl Setting {
    /// In float32, within what the index of each folder allows.
    pub fn exact(device: Device) -> Self {
        Self { device, precision: BasePrecision::Float32, tolerance: None }
    }

    /// Weights in `precision`, and on a GPU what is computed, too, within what the rounding can cost: errors of
    /// independent roundings add like the sides of a right angle.
    pub fn rounded(device: Device, precision: BasePrecision) -> Self {
        let weight = match precision {
            BasePrecision::Float32 => return Self::exact(device),
            BasePrecision::Bf16 => BF16,
            BasePrecision::Int8 => INT8,
        };
        let on_cpu = BasePrecision::default_on(&device) == BasePrecision::Float32;
        let activations = if on_cpu { 0.0 } else { ACTIVATIONS * BF16.powi(2) };
        let there = (WEIGHTS * weight.powi(2) + activations).sqrt();
        let back = there * 2f64.sqrt();
        let tolerance = json!({
            "x_out|velocity|pred": { "rel_rms": there },
            "grad/*": { "rel_rms": back },
            "grad_norm": { "rel": back },
            "loss|loss_per_sample": { "rel": 2.0 * there },
            "default": { "abs": f64::MAX },
        });
        Self { device, precision, tolerance: Some(tolerance) }
    }
}
