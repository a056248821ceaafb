//! Rotary position embedding of the split type, and the positions it encodes.

use burn::tensor::{Device, Tensor, TensorData};
use tensor_batch::{CELL_FRAMES, CELL_PIXELS, FrameRate, LatentGrid};

use crate::TransformerConfig;

/// Where each token lies: `[start, end)` along time in seconds, height and width in pixels.
///
/// Tokens are in frame, height, width order. All numbers are float32, in the reference's order of operations,
/// because the highest rotary band magnifies every rounding by 15,708.
#[derive(Debug, Clone, PartialEq)]
pub struct Positions {
    /// For each axis (time, height, width) and token: start and end.
    pub bounds: [Vec<[f32; 2]>; 3],
}

impl Positions {
    /// The positions of a latent grid played at `rate`.
    pub fn of(grid: LatentGrid, rate: FrameRate) -> Self {
        let mut bounds = Self::pixel_bounds(grid);
        for [start, end] in &mut bounds[0] {
            *start /= rate.fps() as f32;
            *end /= rate.fps() as f32;
        }
        Self { bounds }
    }

    /// The cells themselves: `[f, f+1)`, `[h, h+1)`, `[w, w+1)`.
    pub fn latent_bounds(grid: LatentGrid) -> [Vec<[f32; 2]>; 3] {
        let mut bounds: [Vec<[f32; 2]>; 3] = Default::default();
        for f in 0..grid.frames {
            for h in 0..grid.height {
                for w in 0..grid.width {
                    for (axis, i) in [f, h, w].into_iter().enumerate() {
                        bounds[axis].push([i as f32, (i + 1) as f32]);
                    }
                }
            }
        }
        bounds
    }

    /// The same in pixels and frames; time is shifted so that frame 0 is `[0, 1)`, as the VAE is causal.
    pub fn pixel_bounds(grid: LatentGrid) -> [Vec<[f32; 2]>; 3] {
        let frames = CELL_FRAMES as f32;
        let causal = |bound: f32| (bound * frames + 1.0 - frames).max(0.0);
        let pixels = |bound: f32| bound * CELL_PIXELS as f32;
        let [time, height, width] = Self::latent_bounds(grid);
        [
            time.into_iter().map(|bound| bound.map(causal)).collect(),
            height.into_iter().map(|bound| bound.map(pixels)).collect(),
            width.into_iter().map(|bound| bound.map(pixels)).collect(),
        ]
    }

    /// How many tokens.
    pub fn tokens(&self) -> usize {
        self.bounds[0].len()
    }
}

/// The `count` rotary frequencies `theta^(j/(count-1)) π/2`, computed in float64 and rounded to float32.
pub fn rope_frequencies(count: usize, theta: f64) -> Vec<f32> {
    let last = count.saturating_sub(1).max(1) as f64;
    (0..count).map(|j| (theta.powf(j as f64 / last) * std::f64::consts::FRAC_PI_2) as f32).collect()
}

/// Cosines and sines, `[1, H, T, d/2]`. Each head rotates with its own band of frequencies.
#[derive(Debug, Clone)]
pub struct Rope {
    /// `[1, H, T, d/2]`.
    pub cos: Tensor<4>,
    /// `[1, H, T, d/2]`.
    pub sin: Tensor<4>,
}

impl Rope {
    /// The table of the transformer for tokens at `positions`.
    pub fn new(positions: &Positions, config: &TransformerConfig, device: &Device) -> Self {
        let frequencies = rope_frequencies(config.inner_dim() / 6, config.positional_embedding_theta);
        let max_pos = config.positional_embedding_max_pos.map(|max| max as f32);
        let angles = |token: usize| {
            let v: [f32; 3] = std::array::from_fn(|axis| {
                let [start, end] = positions.bounds[axis][token];
                2.0 * ((start + end) / 2.0 / max_pos[axis]) - 1.0
            });
            frequencies.iter().flat_map(move |frequency| v.map(|v| frequency * v))
        };
        Self::from_angles(
            positions.tokens(),
            config.num_attention_heads,
            config.attention_head_dim,
            angles,
            device,
        )
    }

    /// A table of `angles` for each token, at most `heads * head_dim / 2` of them; the front is padded with angle 0.
    pub(crate) fn from_angles<I: Iterator<Item = f32>>(
        tokens: usize,
        heads: usize,
        head_dim: usize,
        angles: impl Fn(usize) -> I,
        device: &Device,
    ) -> Self {
        let half = head_dim / 2;
        let mut table = vec![0.0; heads * tokens * half];
        for token in 0..tokens {
            let angles: Vec<f32> = angles(token).collect();
            let padding = heads * half - angles.len();
            for (i, angle) in angles.into_iter().enumerate() {
                let (head, j) = ((i + padding) / half, (i + padding) % half);
                table[(head * tokens + token) * half + j] = angle;
            }
        }
        // Angles reach 15,708 rad: the range reduction of the standard library is exact, a GPU's is not.
        let upload = |f: fn(f64) -> f64| {
            let values: Vec<f32> = table.iter().map(|angle| f(f64::from(*angle)) as f32).collect();
            Tensor::from_data(TensorData::new(values, [1, heads, tokens, half]), device)
        };
        Self { cos: upload(f64::cos), sin: upload(f64::sin) }
    }

    /// Rotates `x` `[B, H, T, d]`: first half `x1 cos - x2 sin`, second half `x2 cos + x1 sin`.
    pub fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        let half = x.dims()[3] / 2;
        let x1 = x.clone().narrow(3, 0, half);
        let x2 = x.narrow(3, half, half);
        let (cos, sin) = (self.cos.clone(), self.sin.clone());
        let y1 = x1.clone() * cos.clone() - x2.clone() * sin.clone();
        let y2 = x2 * cos + x1 * sin;
        Tensor::cat(vec![y1, y2], 3)
    }
}
