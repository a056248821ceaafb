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

/// A byte as the encoder takes it: `(u/255 - 0.5)/0.5` in float32, -1 to 1.
pub fn pixel_value(byte: u8) -> f32 {
    (f32::from(byte) / 255.0 - 0.5) / 0.5
}

/// A clip as the encoder takes it: `[1, 3, F, H, W]`, float32, of [`pixel_value`]s.
pub fn pixels_to_tensor(clip: &Clip, device: &Device) -> Tensor<5> {
    let pixels = clip.pixels();
    let (frames, height, width, channels) = pixels.dim();
    let mut values = Vec::with_capacity(pixels.len());
    for channel in 0..channels {
        let plane = pixels.iter().skip(channel).step_by(channels);
        values.extend(plane.map(|byte| pixel_value(*byte)));
    }
    Tensor::from_data(TensorData::new(values, [1, channels, frames, height, width]), device)
}

/// What the decoder gives as bytes: `[1, 3, F, H, W]` to `F H W 3` of them, the inverse of [`pixel_value`], clamped and
/// rounded. Waits for the device. A video is large: beside it only the bytes are held.
pub fn tensor_to_pixels(x: Tensor<5>) -> Vec<u8> {
    let [_, channels, frames, height, width] = x.dims();
    let pixels = frames * height * width;
    let mut bytes = vec![0; channels * pixels];
    for (at, level) in x.into_data().iter::<f32>().enumerate() {
        bytes[at % pixels * channels + at / pixels] = ((level.clamp(-1.0, 1.0) + 1.0) * 127.5).round() as u8;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use tensor_batch::FrameRate;

    use super::*;

    #[test]
    fn a_clip_becomes_planes_of_colour() {
        let byte = |(frame, row, column, channel)| (frame * 100 + row + 2 * column + 50 * channel) as u8;
        let pixels = ndarray::Array4::from_shape_fn((1, 32, 32, 3), byte);
        let clip = Clip::new(pixels, FrameRate::new(24.0).unwrap()).unwrap();
        let tensor = pixels_to_tensor(&clip, &Device::flex());
        assert_eq!(tensor.dims(), [1, 3, 1, 32, 32]);
        let values = tensor.into_data().try_to_vec::<f32>().unwrap();
        assert_eq!(values[2 * 1024 + 5 * 32 + 7], pixel_value(byte((0, 5, 7, 2))));
        assert_eq!([0, 255].map(pixel_value), [-1.0, 1.0]);
    }

    #[test]
    fn bytes_come_back_and_what_lies_beyond_is_clamped() {
        let pixels =
            ndarray::Array4::from_shape_fn((1, 32, 32, 3), |(_, y, x, c)| (y * 32 + x + 7 * c) as u8);
        let clip = Clip::new(pixels.clone(), FrameRate::DEFAULT).unwrap();
        let tensor = pixels_to_tensor(&clip, &Device::flex());
        assert_eq!(tensor_to_pixels(tensor.clone()), pixels.into_raw_vec_and_offset().0);
        let beyond = tensor_to_pixels(tensor.sign() * 1.5);
        assert!(beyond.iter().all(|byte| *byte == 0 || *byte == 255));
    }
}
