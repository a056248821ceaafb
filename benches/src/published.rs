//! A checkpoint of the published model's widths and of as few blocks as wanted: the audio stream beside the video
//! stream, everything in bf16, and noise for weights.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

use ltx_model::TransformerConfig;
use serde_json::{Map, Value, json};

use crate::case::{self, Result};

/// Width of the audio stream.
const AUDIO: usize = 2048;

/// The numbers of the published model, with `layers` blocks.
pub fn config(layers: usize) -> TransformerConfig {
    TransformerConfig { num_layers: layers, ..TransformerConfig::ltx_2_3() }
}

/// Writes the checkpoint. With `sparse`, only its header is written, and the weights are a hole in the file.
///
/// # Errors
/// If the file cannot be written.
pub fn write(path: &Path, layers: usize, sparse: bool) -> Result<()> {
    let config = config(layers);
    let mut shapes = case::shapes(&config);
    shapes.extend(audio(layers));
    shapes.sort();
    let (header, length) = header(&config, &shapes);
    let file = File::create(path)?;
    let mut out = BufWriter::with_capacity(1 << 20, &file);
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(header.as_bytes())?;
    if sparse {
        out.flush()?;
        return Ok(file.set_len(8 + header.len() as u64 + length)?);
    }
    let mut noise = Noise(1);
    for (key, shape) in &shapes {
        let (mean, spread) = case::distribution(key, shape);
        for _ in 0..shape.iter().product::<usize>() {
            let bits = (mean + spread * noise.next()).to_bits();
            // Cut off, not rounded: noise is noise.
            out.write_all(&((bits >> 16) as u16).to_le_bytes())?;
        }
    }
    out.flush()?;
    Ok(file.sync_all()?)
}

/// The header's text, and how many bytes of tensors follow it.
fn header(config: &TransformerConfig, shapes: &[(String, Vec<usize>)]) -> (String, u64) {
    let mut tensors = Map::new();
    tensors.insert("__metadata__".to_owned(), Value::from_iter(case::metadata(config)));
    let mut offset = 0;
    for (key, shape) in shapes {
        let end = offset + 2 * shape.iter().product::<usize>() as u64;
        let key = format!("{}{key}", case::PREFIX);
        tensors.insert(key, json!({ "dtype": "BF16", "shape": shape, "data_offsets": [offset, end] }));
        offset = end;
    }
    let mut text = Value::Object(tensors).to_string();
    let padded = text.len().next_multiple_of(8);
    text.extend(std::iter::repeat_n(' ', padded - text.len()));
    (text, offset)
}

/// The tensors of the audio stream and of what ties it to the video stream; nobody should read them.
fn audio(layers: usize) -> Vec<(String, Vec<usize>)> {
    let video = TransformerConfig::ltx_2_3().inner_dim();
    let mut shapes = vec![
        ("audio_patchify_proj.weight".to_owned(), vec![AUDIO, 128]),
        ("audio_adaln_single.linear.weight".to_owned(), vec![9 * AUDIO, AUDIO]),
        ("av_ca_video_scale_shift_adaln_single.linear.weight".to_owned(), vec![4 * video, video]),
        ("audio_scale_shift_table".to_owned(), vec![2, AUDIO]),
    ];
    for block in (0..layers).map(|i| format!("transformer_blocks.{i}")) {
        for (attention, x, context) in [
            ("audio_attn1", AUDIO, AUDIO),
            ("audio_attn2", AUDIO, AUDIO),
            ("audio_to_video_attn", video, AUDIO),
            ("video_to_audio_attn", AUDIO, video),
        ] {
            let mut linear = |name: &str, inputs: usize, outputs: usize| {
                shapes.push((format!("{block}.{attention}.{name}.weight"), vec![outputs, inputs]));
                shapes.push((format!("{block}.{attention}.{name}.bias"), vec![outputs]));
            };
            linear("to_q", x, AUDIO);
            linear("to_k", context, AUDIO);
            linear("to_v", context, AUDIO);
            linear("to_out.0", AUDIO, x);
        }
        shapes.push((format!("{block}.audio_ff.net.0.proj.weight"), vec![4 * AUDIO, AUDIO]));
        shapes.push((format!("{block}.audio_ff.net.2.weight"), vec![AUDIO, 4 * AUDIO]));
        shapes.push((format!("{block}.audio_scale_shift_table"), vec![9, AUDIO]));
        shapes.push((format!("{block}.scale_shift_table_a2v_ca_video"), vec![5, video]));
    }
    shapes
}

/// Nearly normal numbers, a billion of which are made in seconds: the sum of four uniform ones.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^= x >> 31;
        let sum: u64 = (0..4).map(|i| (x >> (16 * i)) & 0xffff).sum();
        // Four uniform numbers in 0..65536 have the variance of 65536² / 3.
        (sum as f32 - 131_070.0) * (3f32.sqrt() / 65_536.0)
    }
}

#[cfg(test)]
mod tests {
    use ltx_model::{Checkpoint, Device, Transformer, Wanted};

    use super::*;

    #[test]
    fn of_the_whole_file_the_video_stream_is_wanted() {
        let folder = std::env::temp_dir().join(format!("published-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("sparse.safetensors");
        write(&path, 48, true).unwrap();
        let wanted = Transformer::check(&Checkpoint::open(&path).unwrap(), &Device::flex());
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(wanted.unwrap(), Wanted { tensors: 1457, bytes: 2 * 13_124_316_288 });
    }

    #[test]
    fn noise_is_nearly_normal() {
        let mut noise = Noise(7);
        let (mut sum, mut squares) = (0.0, 0.0);
        for _ in 0..100_000 {
            let x = f64::from(noise.next());
            (sum, squares) = (sum + x, squares + x * x);
        }
        assert!((sum / 1e5).abs() < 0.02 && (squares / 1e5 - 1.0).abs() < 0.02, "{sum} {squares}");
    }
}
