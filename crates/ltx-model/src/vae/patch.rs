//! Pixels to the first layer's channels and back.

use burn::tensor::{Device, Tensor, TensorData};
use tensor_batch::Clip;

/// `[B, C, F, p h, p w]` to `[B, C p², F, h, w]`: channel `c p² + (x mod p) p + (y mod p)`, x the column.
pub fn patchify(x: Tensor<5>, patch: usize) -> Tensor<5> {
    let [b, c, f, h, w] = x.dims();
    let (h, w) = (h / patch, w / patch);
    let split: Tensor<7> = x.reshape([b, c, f, h, patch, w, patch]);
    split.permute([0, 1, 6, 4, 2, 3, 5]).reshape([b, c * patch * patch, f, h, w])
}

/// The inverse of [`patchify`].
pub fn unpatchify(x: Tensor<5>, patch: usize) -> Tensor<5> {
    let [b, c, f, h, w] = x.dims();
    let c = c / (patch * patch);
    let split: Tensor<7> = x.reshape([b, c, patch, patch, f, h, w]);
    split.permute([0, 1, 4, 5, 3, 6, 2]).reshape([b, c, f, h * patch, w * patch])
}

/// A clip as the encoder takes it: `[1, 3, F, H, W]`, float32 in [-1, 1], `(u/255 - 0.5)/0.5`.
pub fn pixels_to_tensor(clip: &Clip, device: &Device) -> Tensor<5> {
    let range: [f32; 256] = std::array::from_fn(|u| (u as f32 / 255.0 - 0.5) / 0.5);
    let pixels = clip.pixels();
    let (frames, height, width, channels) = pixels.dim();
    let mut values = Vec::with_capacity(pixels.len());
    for channel in 0..channels {
        let plane = pixels.iter().skip(channel).step_by(channels);
        values.extend(plane.map(|u| range[usize::from(*u)]));
    }
    Tensor::from_data(TensorData::new(values, [1, channels, frames, height, width]), device)
}
