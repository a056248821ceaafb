//! Kinds of the folder `vae`: the video VAE, its parts, and tiling.

use std::error::Error;

use burn::tensor::{Tensor, TensorData};
use ltx_model::{
    CausalConv3d, Checkpoint, ConvPadding, Downsample, Interval, LatentStatistics, ResBlock, SpatialPadding,
    Tile, Tiling, Upsample, VideoDecoder, VideoEncoder, patchify, pixel_norm, pixel_value, unpatchify,
};
use serde_json::Value;

use super::{Case, GoldenError, Kind, KindResult, Produced, Values};

const FOLDER: &str = "vae";

pub(super) const KINDS: &[Kind] = &[
    Kind::new(FOLDER, "unit-causal-conv", causal_conv),
    Kind::new(FOLDER, "unit-res-block", res_block),
    Kind::new(FOLDER, "unit-down-blocks", down_blocks),
    Kind::new(FOLDER, "unit-up-blocks", up_blocks),
    Kind::new(FOLDER, "unit-patchify-stats", patchify_stats),
    Kind::new(FOLDER, "encode", encode),
    Kind::new(FOLDER, "decode", decode),
    Kind::new(FOLDER, "tiled-encode-trainer", tiled_encode_trainer),
    Kind::new(FOLDER, "tiled-encode-core", tiled_encode_core),
    Kind::new(FOLDER, "tiled-decode", tiled_decode),
    Kind::new(FOLDER, "tiling-intervals", tiling_intervals),
];

/// One convolution in several variants.
fn causal_conv(case: &Case) -> KindResult {
    variants(case, |variant, params| {
        let spatial = match params["spatial_padding"].as_str() {
            Some("zeros") => SpatialPadding::Zeros,
            Some("reflect") => SpatialPadding::Reflect,
            _ => return Err("the variant names no spatial padding".into()),
        };
        let conv = conv(case, variant, ConvPadding { causal: causal(params)?, spatial })?;
        Ok(conv.forward(floats(case, &format!("{variant}.input"))?))
    })
}

/// One residual block, causal and not, and its norm.
fn res_block(case: &Case) -> KindResult {
    let input = floats(case, "input")?;
    let mut produced = vec![result("pixel_norm_of_input", pixel_norm(input.clone()))];
    for (name, causal) in [("output_causal", true), ("output_noncausal", false)] {
        let conv = |name| conv(case, name, zeros(causal));
        let block = ResBlock::new(conv("conv1.conv")?, conv("conv2.conv")?);
        produced.push(result(name, block.forward(input.clone())));
    }
    Ok(produced)
}

/// Downsamplers of each stride.
fn down_blocks(case: &Case) -> KindResult {
    variants(case, |variant, params| {
        let input: Tensor<5> = floats(case, &format!("{variant}.input"))?;
        let multiplier = params["multiplier"].as_u64().ok_or("the variant has no multiplier")? as usize;
        let width = input.dims()[1] * multiplier;
        let conv = conv(case, &format!("{variant}.conv.conv"), zeros(causal(params)?))?;
        Ok(Downsample::new(conv, stride(params)?, width).forward(input))
    })
}

/// Upsamplers of each stride.
fn up_blocks(case: &Case) -> KindResult {
    variants(case, |variant, params| {
        let conv = conv(case, &format!("{variant}.conv.conv"), zeros(causal(params)?))?;
        let block = Upsample::new(conv, stride(params)?, params["residual"] == true);
        Ok(block.forward(floats(case, &format!("{variant}.input"))?))
    })
}

/// The order of patches, and latents normalised and back.
fn patchify_stats(case: &Case) -> KindResult {
    let pixels: Tensor<5> = floats(case, "pixels")?;
    let patched: Tensor<5> = floats(case, "patchified")?;
    let patch = pixels.dims()[3] / patched.dims()[3];
    let statistics = LatentStatistics::new(floats(case, "stats.mean")?, floats(case, "stats.std")?);
    let input: Tensor<5> = floats(case, "stats.input")?;
    Ok(vec![
        result("patchified", patchify(pixels, patch)),
        result("pixels", unpatchify(patched, patch)),
        result("stats.normalized", statistics.normalize(input.clone())),
        result("stats.unnormalized", statistics.denormalize(input)),
    ])
}

/// Pixels to latents, with the activations on the way that the case holds.
fn encode(case: &Case) -> KindResult {
    let mut produced = Vec::new();
    let latents = encoder(case)?.encode_watched(video(case)?, &mut |layer, x| {
        let name = if layer == "conv_out" { "raw_conv_out".to_owned() } else { format!("act.{layer}") };
        produced.push(result(name, x.clone()));
    });
    produced.push(result("latents", latents));
    Ok(produced)
}

/// Latents to pixels, with the activations on the way that the case holds.
fn decode(case: &Case) -> KindResult {
    let mut produced = Vec::new();
    let video = decoder(case)?.decode_watched(floats(case, "latents")?, &mut |layer, x| {
        produced.push(result(format!("act.{layer}"), x.clone()));
    });
    produced.push(result("video", video));
    Ok(produced)
}

/// The tiles in which training data may be encoded, beside the whole.
fn tiled_encode_trainer(case: &Case) -> KindResult {
    let encoder = encoder(case)?;
    let size = |key: &str| case.params()[key].as_u64().ok_or("the case has no tile size");
    let tile = Tile::new(size("tile_size")? as usize, size("tile_overlap")? as usize)?;
    let pixels = video(case)?;
    Ok(vec![
        result("latents", encoder.encode_tiled_spatially(pixels.clone(), tile)?),
        result("latents_untiled", encoder.encode(pixels)),
    ])
}

/// Tiles along all axes.
fn tiled_encode_core(case: &Case) -> KindResult {
    let latents = encoder(case)?.encode_tiled(video(case)?, &tiling(case.params())?)?;
    Ok(vec![result("latents", latents)])
}

/// Chunks of frames, put together.
fn tiled_decode(case: &Case) -> KindResult {
    let video = decoder(case)?.decode_tiled(floats(case, "latents")?, &tiling(case.params())?);
    Ok(vec![result("video", video)])
}

/// Where tiles of usual sizes lie, and how they fade.
fn tiling_intervals(case: &Case) -> KindResult {
    let mut produced = Vec::new();
    for (i, entry) in case.json()?.as_array().into_iter().flatten().enumerate() {
        let [frames, pixels] = described_tiles(&entry["config"]).ok_or("the configuration names no tiles")?;
        let lengths: Vec<usize> = numbers(&entry["latent_fhw"]).map(|length| length as usize).collect();
        let &[f, h, w] = &lengths[..] else { return Err("the latent's size is not three numbers".into()) };
        for (axis, ours) in [
            ("frames", Interval::temporal(f, Some(frames))),
            ("height", Interval::spatial(h, Some(pixels))),
            ("width", Interval::spatial(w, Some(pixels))),
        ] {
            produced.extend(axis_of_tiles(&format!("{i}/{axis}"), axis, &ours, &entry["intervals"][axis]));
        }
    }
    Ok(produced)
}

/// All tiles of an axis in one list a field, so that one tile more or less is another shape.
fn axis_of_tiles(name: &str, axis: &str, ours: &[Interval], golden: &Value) -> Vec<Produced> {
    let rows: Vec<&Value> = golden.as_array().into_iter().flatten().collect();
    let time = axis == "frames";
    let output = |tile: &Interval| if time { tile.to_frames() } else { tile.to_pixels() };
    let outputs: Vec<Interval> = ours.iter().map(output).collect();
    let weights = |tile: &Interval| if time { tile.temporal_weights() } else { tile.spatial_weights() };
    let weights: Vec<Vec<f32>> = outputs.iter().map(weights).collect();
    let told = |field: usize| rows.first().map_or(0, |row| row[FIELDS[field]].as_array().map_or(0, Vec::len));
    let ends = |tiles: &[Interval]| tiles.iter().flat_map(|t| [t.start, t.end]).map(|n| n as f32).collect();
    let ramps = ours.iter().flat_map(|t| [t.left_ramp, t.right_ramp]).map(|n| n as f32).collect();
    let heads = weights.iter().flat_map(|w| w.iter().take(told(3)).copied()).collect();
    let tails = weights.iter().flat_map(|w| w[w.len().saturating_sub(told(4))..].iter().copied()).collect();
    let columns: [Vec<f32>; 5] = [ends(ours), ramps, ends(&outputs), heads, tails];
    let column = |(field, values): (&str, Vec<f32>)| {
        let expected: Vec<f64> = rows.iter().flat_map(|row| numbers(&row[field])).collect();
        let expected = super::Tensor { shape: vec![expected.len()], values: Values::F64(expected) };
        let length = values.len();
        Produced::f32(format!("{name}/{field}"), values, [length]).against(expected)
    };
    FIELDS.into_iter().zip(columns).map(column).collect()
}

const FIELDS: [&str; 5] = ["latent", "ramps_latent", "out", "mask_head", "mask_tail"];

fn numbers(list: &Value) -> impl Iterator<Item = f64> {
    list.as_array().into_iter().flatten().filter_map(Value::as_f64)
}

/// `... 80/24, 768/64`: tiles of frames and of pixels.
fn described_tiles(text: &Value) -> Option<[Tile; 2]> {
    let words = text.as_str()?.split([' ', ',']).filter_map(|word| word.split_once('/'));
    let tiles = words.map(|(size, overlap)| Tile::new(size.parse().ok()?, overlap.parse().ok()?).ok());
    tiles.collect::<Option<Vec<Tile>>>()?.try_into().ok()
}

/// `{"frames": [size, overlap] or null, "height": .., "width": ..}`.
fn tiling(params: &Value) -> Result<Tiling, Box<dyn Error>> {
    let tile = |key: &str| match &params[key] {
        Value::Null => Ok(None),
        value => match numbers(value).map(|n| n as usize).collect::<Vec<_>>()[..] {
            [size, overlap] => Ok(Some(Tile::new(size, overlap)?)),
            _ => Err(Box::<dyn Error>::from("a tile is not two numbers")),
        },
    };
    Ok(Tiling { frames: tile("frames")?, height: tile("height")?, width: tile("width")? })
}

/// Runs every variant that the parameters name.
fn variants(case: &Case, run: impl Fn(&str, &Value) -> Result<Tensor<5>, Box<dyn Error>>) -> KindResult {
    let variants = case.params().as_object().ok_or("the parameters name no variants")?;
    let output =
        |(variant, params): (&String, &Value)| Ok(result(format!("{variant}.output"), run(variant, params)?));
    variants.iter().map(output).collect()
}

fn encoder(case: &Case) -> Result<VideoEncoder, Box<dyn Error>> {
    let checkpoint = Checkpoint::open(&case.folder().checkpoint()?)?;
    Ok(VideoEncoder::load(&checkpoint, case.device())?)
}

fn decoder(case: &Case) -> Result<VideoDecoder, Box<dyn Error>> {
    let checkpoint = Checkpoint::open(&case.folder().checkpoint()?)?;
    Ok(VideoDecoder::load(&checkpoint, case.device())?)
}

fn conv(case: &Case, prefix: &str, padding: ConvPadding) -> Result<CausalConv3d, GoldenError> {
    let weight = floats(case, &format!("{prefix}.weight"))?;
    Ok(CausalConv3d::new(weight, floats(case, &format!("{prefix}.bias"))?, padding))
}

fn zeros(causal: bool) -> ConvPadding {
    ConvPadding { causal, spatial: SpatialPadding::Zeros }
}

fn causal(params: &Value) -> Result<bool, &'static str> {
    params["causal"].as_bool().ok_or("the variant does not say whether it is causal")
}

fn stride(params: &Value) -> Result<[usize; 3], &'static str> {
    let stride: Vec<usize> = numbers(&params["stride"]).map(|n| n as usize).collect();
    stride.try_into().map_err(|_| "the variant's stride is not three numbers")
}

/// Bytes as the encoder takes them.
fn video(case: &Case) -> Result<Tensor<5>, GoldenError> {
    let (bytes, shape) = case.tensor_u8("video_u8")?;
    let values: Vec<f32> = bytes.into_iter().map(pixel_value).collect();
    Ok(Tensor::from_data(TensorData::new(values, shape), case.device()))
}

fn floats<const D: usize>(case: &Case, name: &str) -> Result<Tensor<D>, GoldenError> {
    let (values, shape) = case.tensor_f32(name)?;
    Ok(Tensor::from_data(TensorData::new(values, shape), case.device()))
}

fn result(name: impl Into<String>, tensor: Tensor<5>) -> Produced {
    let shape = tensor.dims();
    Produced::f32(name, tensor.into_data().iter().collect(), shape)
}
