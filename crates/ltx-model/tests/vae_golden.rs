//! The VAE against golden numbers.

use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use ltx_model::*;
use safetensors::{Dtype, SafeTensors};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/vae");

struct Case(Vec<u8>);

impl Case {
    fn open(name: &str) -> Self {
        Self(std::fs::read(Path::new(GOLDEN).join(format!("{name}.safetensors"))).unwrap())
    }

    fn tensor<const D: usize>(&self, name: &str) -> Tensor<D> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let view = file.tensor(name).unwrap();
        let device = Device::flex();
        if view.dtype() == Dtype::U8 {
            let values: Vec<f32> = view.data().iter().map(|u| (f32::from(*u) / 255.0 - 0.5) / 0.5).collect();
            return Tensor::from_data(TensorData::new(values, view.shape().to_vec()), &device);
        }
        let data = TensorData::from_bytes_vec(view.data().to_vec(), view.shape().to_vec(), DType::F32);
        Tensor::from_data(data, &device)
    }

    fn names(&self) -> Vec<String> {
        SafeTensors::deserialize(&self.0).unwrap().names().into_iter().map(str::to_owned).collect()
    }

    fn conv(&self, prefix: &str, padding: ConvPadding) -> CausalConv3d {
        let name = |n: &str| if prefix.is_empty() { n.to_owned() } else { format!("{prefix}.{n}") };
        CausalConv3d::new(self.tensor(&name("weight")), self.tensor(&name("bias")), padding)
    }

    fn check<const D: usize>(&self, what: &str, name: &str, found: Tensor<D>) {
        let wanted: Tensor<D> = self.tensor(name);
        assert_eq!(found.dims(), wanted.dims(), "{what} {name}");
        let largest = wanted.clone().abs().max().into_scalar::<f32>();
        let error = (found - wanted).abs().max().into_scalar::<f32>() / largest;
        println!("{what} {name}: {error:.2e}");
        assert!(error < 1e-4, "{what} {name}: {error}");
    }
}

fn pad(causal: bool, spatial: SpatialPadding) -> ConvPadding {
    ConvPadding { causal, spatial }
}

fn checkpoint() -> Checkpoint {
    Checkpoint::open(&PathBuf::from(GOLDEN).join("tiny-vae.safetensors")).unwrap()
}

#[test]
fn unit_causal_conv() {
    let case = Case::open("unit-causal-conv");
    for v in ["zeros_causal", "zeros_noncausal", "reflect_noncausal", "zeros_causal_1frame", "zeros_noncausal_1frame"] {
        let spatial = if v.starts_with("reflect") { SpatialPadding::Reflect } else { SpatialPadding::Zeros };
        let conv = case.conv(v, pad(!v.contains("noncausal"), spatial));
        case.check(v, &format!("{v}.output"), conv.forward(case.tensor(&format!("{v}.input"))));
    }
}

#[test]
fn unit_res_block() {
    let case = Case::open("unit-res-block");
    for (causal, name) in [(true, "output_causal"), (false, "output_noncausal")] {
        let p = pad(causal, SpatialPadding::Zeros);
        let block = ResBlock::new(case.conv("conv1.conv", p), case.conv("conv2.conv", p));
        case.check("res", name, block.forward(case.tensor("input")));
    }
    case.check("res", "pixel_norm_of_input", pixel_norm(case.tensor("input")));
}

fn stride(name: &str) -> [usize; 3] {
    if name.starts_with("compress_all") { [2, 2, 2] } else if name.starts_with("compress_time") { [2, 1, 1] } else { [1, 2, 2] }
}

#[test]
fn unit_down_up() {
    let case = Case::open("unit-down-blocks");
    for n in case.names().iter().filter_map(|n| n.strip_suffix(".input")) {
        let width = case.tensor::<5>(&format!("{n}.output")).dims()[1];
        let conv = case.conv(&format!("{n}.conv.conv"), pad(true, SpatialPadding::Zeros));
        let block = Downsample::new(conv, stride(n), width);
        case.check("down", &format!("{n}.output"), block.forward(case.tensor(&format!("{n}.input"))));
    }
    let case = Case::open("unit-up-blocks");
    for n in case.names().iter().filter_map(|n| n.strip_suffix(".input")) {
        let conv = case.conv(&format!("{n}.conv.conv"), pad(false, SpatialPadding::Zeros));
        let block = Upsample::new(conv, stride(n), n.contains("residual"));
        case.check("up", &format!("{n}.output"), block.forward(case.tensor(&format!("{n}.input"))));
    }
}

#[test]
fn unit_patchify_stats() {
    let case = Case::open("unit-patchify-stats");
    case.check("patch", "patchified", patchify(case.tensor("pixels"), 4));
    case.check("patch", "pixels", unpatchify(case.tensor("patchified"), 4));
    let stats = LatentStatistics::new(case.tensor("stats.mean"), case.tensor("stats.std"));
    case.check("stats", "stats.normalized", stats.normalize(case.tensor("stats.input")));
    case.check("stats", "stats.unnormalized", stats.denormalize(case.tensor("stats.input")));
}

#[test]
fn encode() {
    let encoder = VideoEncoder::load(&checkpoint(), &Device::flex()).unwrap();
    for name in ["encode-9x64x96", "encode-17x64x64", "encode-image-1x32x64", "encode-crop-12-frames"] {
        let case = Case::open(name);
        let names = case.names();
        let latents = encoder.encode_watched(case.tensor("video_u8"), &mut |layer, x| {
            let key = if layer == "conv_out" { "raw_conv_out".to_owned() } else { format!("act.{layer}") };
            if names.contains(&key) {
                case.check(name, &key, x.clone());
            }
        });
        case.check(name, "latents", latents);
    }
}

#[test]
fn decode() {
    let decoder = VideoDecoder::load(&checkpoint(), &Device::flex()).unwrap();
    for name in ["decode-1x1x2", "decode-2x2x3", "decode-3x2x2"] {
        let case = Case::open(name);
        let names = case.names();
        let video = decoder.decode_watched(case.tensor("latents"), &mut |layer, x| {
            let key = format!("act.{layer}");
            if names.contains(&key) {
                case.check(name, &key, x.clone());
            }
        });
        case.check(name, "video", video);
    }
}

fn tiling(f: Option<(usize, usize)>, h: Option<(usize, usize)>, w: Option<(usize, usize)>) -> Tiling {
    let tile = |t: Option<(usize, usize)>| t.map(|(size, overlap)| Tile::new(size, overlap).unwrap());
    Tiling { frames: tile(f), height: tile(h), width: tile(w) }
}

#[test]
fn tiled() {
    let decoder = VideoDecoder::load(&checkpoint(), &Device::flex()).unwrap();
    for (name, t) in [
        ("tiled-decode-temporal", tiling(Some((16, 8)), None, None)),
        ("tiled-decode-spatial", tiling(Some((16, 8)), Some((64, 32)), Some((96, 64)))),
        ("tiled-decode-all", tiling(Some((24, 16)), Some((64, 32)), None)),
    ] {
        let case = Case::open(name);
        case.check(name, "video", decoder.decode_tiled(case.tensor("latents"), &t));
    }
    let encoder = VideoEncoder::load(&checkpoint(), &Device::flex()).unwrap();
    let case = Case::open("tiled-encode-core");
    let found = encoder.encode_tiled(case.tensor("video_u8"), &tiling(Some((24, 16)), None, Some((128, 64)))).unwrap();
    case.check("tiled-encode-core", "latents", found);
    let case = Case::open("tiled-encode-trainer");
    let found = encoder.encode_tiled_spatially(case.tensor("video_u8"), Tile::new(64, 32).unwrap()).unwrap();
    case.check("tiled-encode-trainer", "latents", found);
    case.check("tiled-encode-trainer", "latents_untiled", encoder.encode(case.tensor("video_u8")));
}

#[test]
fn speed() {
    let encoder = VideoEncoder::load(&checkpoint(), &Device::flex()).unwrap();
    let decoder = VideoDecoder::load(&checkpoint(), &Device::flex()).unwrap();
    let x = Tensor::<5>::random([1, 3, 25, 256, 256], burn::tensor::Distribution::Uniform(-1.0, 1.0), &Device::flex());
    let mut t = std::time::Instant::now();
    let z = encoder.encode_watched(x, &mut |l, _| { println!("{l} {:?}", t.elapsed()); t = std::time::Instant::now(); });
    println!("encode end {:?}", t.elapsed());
    let mut t = std::time::Instant::now();
    let y = decoder.decode_watched(z, &mut |l, _| { println!("{l} {:?}", t.elapsed()); t = std::time::Instant::now(); });
    println!("decode end {:?} {:?}", t.elapsed(), y.dims());
    let _: Option<Tensor<1, Int>> = None;
}
