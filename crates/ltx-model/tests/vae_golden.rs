//! The video VAE on its public face: against golden numbers, and from files laid out in other ways.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper that fails is a test that fails")]

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use burn::tensor::{DType, Device, Tensor, TensorData};
use ltx_model::{
    CausalConv3d, Checkpoint, ConvPadding, ModelError, SpatialPadding, Tile, Tiling, VideoDecoder,
    VideoEncoder, WeightFaults, pixel_value,
};
use safetensors::{SafeTensors, tensor::TensorView};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/vae").join(name)
}

fn checkpoint() -> Checkpoint {
    Checkpoint::open(&golden("tiny-vae.safetensors")).unwrap()
}

struct Case(Vec<u8>);

impl Case {
    fn open(name: &str) -> Self {
        Self(fs::read(golden(name)).unwrap())
    }

    fn floats<const D: usize>(&self, name: &str) -> Tensor<D> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let view = file.tensor(name).unwrap();
        let data = TensorData::from_bytes_vec(view.data().to_vec(), view.shape().to_vec(), DType::F32);
        Tensor::from_data(data, &Device::flex())
    }

    fn video(&self) -> Tensor<5> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let view = file.tensor("video_u8").unwrap();
        let values: Vec<f32> = view.data().iter().map(|byte| pixel_value(*byte)).collect();
        Tensor::from_data(TensorData::new(values, view.shape().to_vec()), &Device::flex())
    }
}

fn assert_close(found: Tensor<5>, wanted: Tensor<5>) {
    assert_eq!(found.dims(), wanted.dims());
    let largest = wanted.clone().abs().max().into_scalar::<f32>();
    let error = (found - wanted).abs().max().into_scalar::<f32>() / largest;
    assert!(error < 1e-4, "{error}");
}

#[test]
fn a_convolution_repeats_frames_and_pads_pictures() {
    let case = Case::open("unit-causal-conv.safetensors");
    for (variant, causal, spatial) in [
        ("zeros_causal", true, SpatialPadding::Zeros),
        ("zeros_noncausal", false, SpatialPadding::Zeros),
        ("reflect_noncausal", false, SpatialPadding::Reflect),
        ("zeros_causal_1frame", true, SpatialPadding::Zeros),
    ] {
        let [weight, input, output] =
            ["weight", "input", "output"].map(|role| case.floats::<5>(&format!("{variant}.{role}")));
        let bias = case.floats::<1>(&format!("{variant}.bias"));
        let conv = CausalConv3d::new(weight, bias, ConvPadding { causal, spatial });
        assert_close(conv.forward(input), output);
    }
}

#[test]
fn frames_behind_the_last_whole_cell_do_not_change_the_latents() {
    let case = Case::open("encode-crop-12-frames.safetensors");
    let encoder = VideoEncoder::load(&checkpoint(), &Device::flex()).unwrap();
    assert_close(encoder.encode(case.video()), case.floats("latents"));
}

#[test]
fn latents_become_pixels() {
    let case = Case::open("decode-3x2x2.safetensors");
    let decoder = VideoDecoder::load(&checkpoint(), &Device::flex()).unwrap();
    assert_close(decoder.decode(case.floats("latents")), case.floats("video"));
}

#[test]
fn one_tile_is_the_whole_and_chunks_are_finished_frames() {
    let decoder = VideoDecoder::load(&checkpoint(), &Device::flex()).unwrap();
    let latents: Tensor<5> = Case::open("decode-3x2x2.safetensors").floats("latents");
    let whole = decoder.decode(latents.clone());
    assert_close(decoder.decode_tiled(latents.clone(), &Tiling::default()), whole);
    let tiling = Tiling { frames: Tile::new(16, 0).ok(), ..Tiling::default() };
    let chunks: Vec<usize> = decoder.decode_chunks(latents, &tiling).map(|chunk| chunk.dims()[2]).collect();
    assert_eq!(chunks, [8, 9]);
}

/// A copy of the golden checkpoint with other keys.
fn relaid(rename: impl Fn(&str) -> Vec<String>) -> (tempfile::TempDir, Checkpoint) {
    let bytes = fs::read(golden("tiny-vae.safetensors")).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensors: HashMap<String, TensorView<'_>> = file
        .iter()
        .flat_map(|(key, view)| rename(key).into_iter().map(move |key| (key, view.clone())))
        .collect();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vae.safetensors");
    safetensors::serialize_to_file(tensors, header.metadata().clone(), &path).unwrap();
    let checkpoint = Checkpoint::open(&path).unwrap();
    (dir, checkpoint)
}

fn faults<T>(loaded: Result<T, ModelError>) -> WeightFaults {
    match loaded {
        Err(ModelError::Weights { faults, .. }) => faults,
        Err(other) => panic!("{other}"),
        Ok(_) => WeightFaults::default(),
    }
}

#[test]
fn a_stand_alone_file_needs_no_prefix() {
    let (_dir, checkpoint) = relaid(|key| vec![key.strip_prefix("vae.").unwrap().to_owned()]);
    let case = Case::open("encode-image-1x32x64.safetensors");
    let encoder = VideoEncoder::load(&checkpoint, &Device::flex()).unwrap();
    assert_close(encoder.encode(case.video()), case.floats("latents"));
    VideoDecoder::load(&checkpoint, &Device::flex()).unwrap();
}

#[test]
fn a_block_more_than_configured_is_refused_and_further_statistics_are_not() {
    let (_dir, checkpoint) = relaid(|key| {
        let mut keys = vec![key.to_owned()];
        match key {
            "vae.encoder.down_blocks.8.res_blocks.1.conv2.conv.bias" => {
                keys.push("vae.encoder.down_blocks.8.res_blocks.2.conv2.conv.bias".to_owned());
            }
            "vae.per_channel_statistics.std-of-means" => {
                keys.push("vae.per_channel_statistics.mean-of-stds".to_owned());
            }
            _ => {}
        }
        keys
    });
    let faults = faults(VideoEncoder::load(&checkpoint, &Device::flex()));
    assert_eq!(faults.leftover, ["vae.encoder.down_blocks.8.res_blocks.2.conv2.conv.bias"]);
    assert!(VideoDecoder::load(&checkpoint, &Device::flex()).is_ok());
}

#[test]
fn every_missing_tensor_is_named() {
    let lost = |key: &str| key.ends_with("conv_in.conv.weight") || key.contains("mean-of-means");
    let (_dir, checkpoint) = relaid(|key| if lost(key) { Vec::new() } else { vec![key.to_owned()] });
    let faults = faults(VideoDecoder::load(&checkpoint, &Device::flex()));
    let wanted = ["vae.per_channel_statistics.mean-of-means", "vae.decoder.conv_in.conv.weight"];
    assert_eq!(faults.missing, wanted);
}
