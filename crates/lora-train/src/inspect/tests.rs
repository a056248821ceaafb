use std::{fs, path::PathBuf};

use half::bf16;
use serde_json::{Value, json};
use tempfile::TempDir;
use tensor_batch::{Blame, Fault};

use super::*;

/// A file of tensors: name, type, shape, bytes.
fn file(tensors: &[(&str, &str, &[usize], Vec<u8>)], metadata: Value) -> Vec<u8> {
    let mut header = serde_json::Map::from_iter([("__metadata__".to_owned(), metadata)]);
    let mut data = Vec::new();
    for (name, dtype, shape, bytes) in tensors {
        let offsets = [data.len(), data.len() + bytes.len()];
        data.extend_from_slice(bytes);
        header.insert((*name).to_owned(), json!({"dtype": dtype, "shape": shape, "data_offsets": offsets}));
    }
    let header = Value::Object(header).to_string();
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat()
}

fn written(bytes: &[u8]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.safetensors");
    fs::write(&path, bytes).unwrap();
    (dir, path)
}

fn looked_into(tensors: &[(&str, &str, &[usize], Vec<u8>)]) -> LoraFile {
    let (_dir, path) = written(&file(tensors, json!({"rank": "2", "by": "a test"})));
    inspect(&path).unwrap()
}

fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn bf16s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes()).collect()
}

/// `B A` is all ones: A `[2, 3]` of halves, B `[4, 2]` of ones.
const A: [f32; 6] = [0.5; 6];
const B: [f32; 8] = [1.0; 8];

#[test]
fn a_module_of_any_layout_is_measured_with_the_scale_that_a_loader_takes() {
    for [a, b] in
        [Layout::Peft, Layout::PeftNamed, Layout::Bare, Layout::Kohya, Layout::Diffusers, Layout::LinearLayer]
            .map(Layout::endings)
    {
        let (a, b) = (format!("x.blocks.0.to_q{a}"), format!("x.blocks.0.to_q{b}"));
        let factors = [(a.as_str(), "F32", &[2, 3][..], f32s(&A)), (b.as_str(), "BF16", &[4, 2], bf16s(&B))];
        let lora = looked_into(&factors);
        let wanted = LoraModule {
            name: "x.blocks.0.to_q".to_owned(),
            rank: Some(2),
            inputs: Some(3),
            outputs: Some(4),
            alpha: None,
            dtype: "F32/BF16".to_owned(),
            health: Health::Sound { delta_rms: 1.0 },
        };
        assert_eq!((lora.modules, lora.layouts.len()), (vec![wanted], 1), "{a}");
        assert_eq!(lora.metadata["by"], "a test");
        // With alpha 1 at rank 2 a loader halves the change.
        let alpha = ("x.blocks.0.to_q.alpha", "F32", &[][..], f32s(&[1.0]));
        let [module] = looked_into(&[factors.as_slice(), &[alpha]].concat()).modules.try_into().unwrap();
        assert_eq!((module.alpha, module.health), (Some(1.0), Health::Sound { delta_rms: 0.5 }));
    }
}

#[test]
fn modules_come_in_the_order_of_their_numbers_and_other_keys_are_listed() {
    let factor = |name| (name, "F32", &[2, 3][..], f32s(&A));
    let lora = looked_into(&[
        factor("b.10.lora_A.weight"),
        factor("b.2.lora_A.weight"),
        factor("position"),
        ("lonely.alpha", "F32", &[], f32s(&[1.0])),
    ]);
    assert_eq!(lora.modules.iter().map(|module| module.name.as_str()).collect::<Vec<_>>(), ["b.2", "b.10"]);
    assert_eq!(lora.modules[0].health, Health::Unpaired { factor: "B" });
    assert_eq!(lora.others, ["lonely.alpha", "position"]);
    assert!(!lora.is_sound());
}

#[test]
fn what_is_wrong_with_a_module_is_told() {
    let health = |a: (&str, &[usize], Vec<u8>), b: (&str, &[usize], Vec<u8>)| {
        let lora = looked_into(&[("m.lora_A.weight", a.0, a.1, a.2), ("m.lora_B.weight", b.0, b.1, b.2)]);
        lora.modules[0].health.clone()
    };
    let good = |shape: &'static [usize]| ("F32", shape, f32s(&B));
    let a = || ("F32", &[2, 3][..], f32s(&A));
    assert_eq!(health(a(), ("F32", &[4, 2][..], f32s(&[0.0; 8]))), Health::Zero { factor: "B" });
    assert_eq!(
        health(("F32", &[2, 3][..], f32s(&[f32::NAN; 6])), good(&[4, 2][..])),
        Health::NotFinite { factor: "A" }
    );
    assert_eq!(health(a(), good(&[2, 4][..])), Health::Unfit { a: vec![2, 3], b: vec![2, 4] });
    assert_eq!(health(a(), good(&[8][..])), Health::Unfit { a: vec![2, 3], b: vec![8] });
    assert_eq!(health(a(), ("F32", &[0, 2][..], Vec::new())), Health::Unfit { a: vec![2, 3], b: vec![0, 2] });
    assert!(matches!(health(a(), ("I32", &[4, 2][..], vec![0; 32])), Health::NotMeasured { .. }));
    // The square of this rank would take terabytes.
    let rank = 1_000_000;
    let (a, b) = ([rank, 1], [1, rank]);
    let huge = health(("F8_E5M2", &a, vec![1; rank]), ("F8_E5M2", &b, vec![1; rank]));
    assert!(matches!(huge, Health::NotMeasured { .. }));
}

#[test]
fn a_convolution_is_measured_flat_and_dora_is_not() {
    let convolution = [
        ("m.lora_down.weight", "F32", &[2, 3, 1, 1][..], f32s(&A)),
        ("m.lora_up.weight", "F32", &[4, 2, 1, 1], f32s(&B)),
    ];
    assert_eq!(looked_into(&convolution).modules[0].health, Health::Sound { delta_rms: 1.0 });
    let dora = ("m.dora_scale", "F32", &[4][..], f32s(&[1.0; 4]));
    let lora = looked_into(&[convolution.as_slice(), &[dora]].concat());
    assert!(matches!(lora.modules[0].health, Health::NotMeasured { .. }));
}

#[test]
fn a_file_that_is_none_is_told_with_what_is_wrong() {
    let good = file(&[("m.lora_A.weight", "F32", &[2, 3], f32s(&A))], json!({}));
    let claims = |length: u64| [&length.to_le_bytes(), &good[8..]].concat();
    let weights = file(&[("m.weight", "F32", &[2, 3], f32s(&A))], json!({}));
    let overlapping = br#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#;
    let huge = br#"{"a":{"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,8]}}"#;
    let with =
        |header: &[u8], data: usize| [&(header.len() as u64).to_le_bytes(), header, &vec![0; data]].concat();
    for (bytes, kind, word) in [
        (b"short".to_vec(), "lora-damaged", "5 bytes"),
        (claims(u64::MAX), "lora-damaged", "claims 18446744073709551615 bytes"),
        (claims(good.len() as u64), "lora-damaged", "claims"),
        (good[..good.len() - 1].to_vec(), "lora-damaged", "24 bytes of tensors, and there are 23"),
        ([good.as_slice(), b"more"].concat(), "lora-damaged", "there are 28"),
        (with(b"[1, 2", 0), "lora-damaged", "header"),
        (with(&[b'['; 100_000], 0), "lora-damaged", "header"),
        (with(overlapping, 12), "lora-damaged", "header"),
        (with(huge, 8), "lora-damaged", "header"),
        (with(b"{}", 0), "no-lora", "none of its 0 tensors"),
        (weights, "no-lora", "none of its 1 tensors"),
    ] {
        let (_dir, path) = written(&bytes);
        let error = inspect(&path).unwrap_err();
        assert_eq!((error.kind(), error.fault()), (kind, Fault::Request), "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
    let dir = tempfile::tempdir().unwrap();
    let nowhere = inspect(&dir.path().join("nowhere")).unwrap_err();
    assert_eq!((nowhere.kind(), nowhere.fault()), ("lora-io", Fault::Request));
    assert_eq!(inspect(dir.path()).unwrap_err().kind(), "lora-damaged", "a folder is no file");
}

#[test]
fn a_file_of_our_own_is_sound_once_it_is_trained() {
    let config = ltx_model::TransformerConfig {
        num_layers: 2,
        num_attention_heads: 2,
        attention_head_dim: 8,
        cross_attention_dim: 24,
        ..ltx_model::TransformerConfig::ltx_2_3()
    };
    let mut lora = crate::adapters::init(&config, tensor_batch::Rank::R8, 1, &ltx_model::Device::flex());
    let metadata = BTreeMap::from([("rank".to_owned(), "8".to_owned())]);
    let (_dir, path) = written(&crate::adapters::to_safetensors(&lora, &metadata).unwrap());
    let fresh = inspect(&path).unwrap();
    assert_eq!((fresh.modules.len(), fresh.ranks(), fresh.dtypes()), (16, vec![8], vec!["BF16"]));
    assert!(fresh.modules.iter().all(|module| module.health == Health::Zero { factor: "B" }));
    for block in &mut lora.transformer_blocks {
        for pair in block.pairs_mut() {
            pair.lora_b = pair.lora_b.ones_like() * 0.5;
        }
    }
    fs::write(&path, crate::adapters::to_safetensors(&lora, &metadata).unwrap()).unwrap();
    let trained = inspect(&path).unwrap();
    assert!(trained.is_sound());
    // The same as measured on the device, up to the rounding of bf16.
    for (name, wanted) in crate::adapters::delta_rms(&lora).unwrap() {
        let key = format!("diffusion_model.{name}");
        let module = trained.modules.iter().find(|module| module.name == key).unwrap();
        let Health::Sound { delta_rms } = module.health else { panic!("{module:?}") };
        assert!((delta_rms / wanted - 1.0).abs() < 5e-3, "{name}: {delta_rms} {wanted}");
    }
}
