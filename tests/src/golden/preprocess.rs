//! Kinds of the folder `preprocess`: clips, masks and captions on their way to the model.

use std::error::Error;
use std::fs;
use std::iter::repeat_n;

use mask_norm::{ImageLimits, Reference, Scaling};
use ndarray::{Array3, Array4, ArrayView3, ArrayView4, Axis, s, stack};
use serde_json::Value;
use tensor_batch::{Bucket, Caption, FrameCount, Geometry, LatentGrid, Size};
use video_fit::{Frames, Limits, VideoError, probe, resize_crop};

use super::{Case, Kind, KindResult, Produced, Tensor, Values};

const FOLDER: &str = "preprocess";

pub(super) const KINDS: &[Kind] = &[
    Kind::new(FOLDER, "resize", resize),
    Kind::new(FOLDER, "bucket-choice", bucket_choice),
    Kind::new(FOLDER, "mask-video", mask_video),
    Kind::new(FOLDER, "mask-image", mask_image),
    Kind::new(FOLDER, "captions", captions),
    Kind::new(FOLDER, "decode-real-clip", decode_real_clip),
    Kind::new(FOLDER, "frame-counts", frame_counts),
];

/// Frames scaled and cropped to the target.
fn resize(case: &Case) -> KindResult {
    let (bytes, shape) = case.tensor_u8("frames_u8")?;
    let &[count, height, width, 3] = &shape[..] else { return Err("the frames are not [F, H, W, 3]".into()) };
    let frames = ArrayView4::from_shape([count, height, width, 3], &bytes)?;
    let [height, width] = lengths(&case.params()["target_hw"], "target_hw")?;
    let fitted = fitted(frames.outer_iter(), Size { width, height })?;
    let unclamped = fitted.view().permuted_axes([0, 3, 1, 2]);
    let values = unclamped.iter().copied().collect();
    Ok(vec![Produced::f32("resized_cropped_unclamped", values, unclamped.shape()), pixels(fitted.view())])
}

/// The bucket of each clip; none where every bucket has too many frames.
fn bucket_choice(case: &Case) -> KindResult {
    let lists = case.json()?;
    let buckets = lists["buckets_fhw"].as_array().into_iter().flatten().map(bucket);
    let buckets: Vec<Bucket> = buckets.collect::<Result<_, _>>()?;
    let mut produced = Vec::new();
    for (r, row) in lists["rows"].as_array().into_iter().flatten().enumerate() {
        let [frames, height, width] = lengths(&row["item_fhw"], "item_fhw")?;
        let nearest = Bucket::nearest(&buckets, Size { width, height }, frames);
        let fhw = nearest.map(|bucket| [bucket.frames().get(), bucket.size().height, bucket.size().width]);
        let fhw: Vec<i64> = fhw.into_iter().flatten().map(i64::from).collect();
        let none = Tensor { shape: vec![0], values: Values::I64(Vec::new()) };
        let expected = Tensor::from_json(&row["bucket_fhw"]).unwrap_or(none);
        let length = fhw.len();
        produced.push(Produced::i64(format!("rows/{r}/bucket_fhw"), fhw, [length]).against(expected));
    }
    Ok(produced)
}

fn bucket(fhw: &Value) -> Result<Bucket, Box<dyn Error>> {
    let [frames, height, width] = lengths(fhw, "buckets_fhw")?;
    Ok(Bucket::new(width, height, FrameCount::new(frames)?)?)
}

/// The official rule on grey frames, which is the same in training and in validation.
fn mask_video(case: &Case) -> KindResult {
    let rule = rule(case)?;
    let (bytes, shape) = case.tensor_u8("mask_frames_u8")?;
    let &[count, height, width] = &shape[..] else { return Err("the frames are not [F, H, W]".into()) };
    let grey = ArrayView4::from_shape([count, height, width, 1], &bytes)?;
    let rgb = grey.broadcast([count, height, width, 3]).ok_or("grey has not one channel")?;
    let stretch = |frame| rule.stretch(&Reference::frame_grey(frame), Scaling::Nearest);
    let cells = rule.cells(rgb.outer_iter().map(stretch));
    Ok(vec![latent_mask("latent_mask", &[], &cells), latent_mask("validation_latent_mask", &[1], &cells)])
}

/// The official rules on an image file: bilinear in training, nearest in validation.
fn mask_image(case: &Case) -> KindResult {
    let rule = rule(case)?;
    let file = case.params()["file"].as_str().ok_or("the case names no `file`")?;
    let bytes = fs::read(case.folder().path().join(file))?;
    let grey = Reference::image_grey(&bytes, &ImageLimits::default())?;
    let cells = |scaling| rule.cells(repeat_n(rule.stretch(&grey, scaling), rule.frames()));
    Ok(vec![
        latent_mask("latent_mask", &[], &cells(Scaling::Bilinear)),
        latent_mask("validation_latent_mask", &[1], &cells(Scaling::Nearest)),
    ])
}

fn rule(case: &Case) -> Result<Reference, String> {
    let [frames, height, width] = lengths(&case.params()["latent_fhw"], "latent_fhw")?.map(|n| n as usize);
    Ok(Reference::new(LatentGrid { frames, height, width }))
}

/// 1 where the cell is bright.
fn latent_mask(name: &str, batch: &[usize], cells: &Array3<bool>) -> Produced {
    let values = cells.iter().map(|bright| f32::from(u8::from(*bright))).collect();
    Produced::f32(name, values, [batch, cells.shape()].concat())
}

/// Trigger and caption composed to a prompt. Groups that remove stock openings are left out: we have no such option.
fn captions(case: &Case) -> KindResult {
    let groups = case.json()?.as_array().ok_or("the case is no list")?;
    let mut produced = Vec::new();
    for (g, group) in groups.iter().enumerate().filter(|(_, group)| group["remove_llm_prefixes"] == false) {
        let trigger = group["trigger"].as_str().unwrap_or_default();
        for (r, row) in group["rows"].as_array().into_iter().flatten().enumerate() {
            let caption = text(row, "caption")?;
            let prompt = Caption::prompt(trigger, Caption::new(caption).as_ref());
            let expected = trimmed(text(row, "prompt")?, caption);
            let expected = Tensor { shape: Vec::new(), values: Values::Text(expected) };
            produced.push(Produced::text(format!("{g}/rows/{r}/prompt"), prompt).against(expected));
        }
    }
    Ok(produced)
}

/// The reference joins the caption with the white space around it and lets the tokenizer trim the prompt; we trim
/// the caption first.
fn trimmed(prompt: &str, caption: &str) -> String {
    let head = prompt.strip_suffix(caption).unwrap_or(prompt);
    let tail = if head.len() == prompt.len() { "" } else { caption.trim() };
    format!("{head}{tail}").trim().to_owned()
}

fn text<'a>(row: &'a Value, key: &str) -> Result<&'a str, String> {
    row[key].as_str().ok_or_else(|| format!("a row has no text `{key}`"))
}

/// The first frames of a clip: some as they are decoded, with every n-th row and column, and all in the bucket.
fn decode_real_clip(case: &Case) -> KindResult {
    let (_, shape) = case.tensor_f32("pixels")?;
    let &[3, count, height, width] = &shape[..] else { return Err("the pixels are not [3, F, H, W]".into()) };
    let stills = case.names().filter_map(Still::named).collect::<Result<Vec<_>, _>>()?;
    let needed = stills.iter().map(|still| still.frame + 1).fold(count, usize::max);
    let name = case.params()["clip"].as_str().ok_or("the case names no `clip`")?;
    let frames = Frames::open(&case.folder().clip(name)?, &Limits::default())?.take(needed);
    let frames: Vec<Array3<u8>> = frames.map(|frame| Ok(frame?.pixels)).collect::<Result<_, VideoError>>()?;
    if frames.len() < needed {
        return Err(format!("the clip has {} frames, wanted {needed}", frames.len()).into());
    }
    let target = size(height, width);
    let mut produced: Vec<Produced> = stills.iter().map(|still| still.of(&frames)).collect();
    produced.push(pixels(fitted(frames[..count].iter().map(|frame| frame.view()), target)?.view()));
    Ok(produced)
}

/// A thinned frame, as the name of its tensor says it: `frame8_u8_quarter` is frame 8 with every fourth row and
/// column.
struct Still<'a> {
    name: &'a str,
    frame: usize,
    step: usize,
}

impl<'a> Still<'a> {
    /// None if the name is that of another tensor.
    fn named(name: &'a str) -> Option<Result<Self, String>> {
        let (frame, share) = name.strip_prefix("frame")?.split_once("_u8_")?;
        let step = match share {
            "half" => Some(2),
            "quarter" => Some(4),
            _ => None,
        };
        let still = frame.parse().ok().zip(step).map(|(frame, step)| Self { name, frame, step });
        Some(still.ok_or_else(|| format!("`{name}` names no frame with its half or quarter")))
    }

    fn of(&self, frames: &[Array3<u8>]) -> Produced {
        let step = self.step;
        let thinned = frames[self.frame].slice(s![..;step, ..;step, ..]);
        Produced::u8(self.name, thinned.iter().copied().collect(), thinned.shape())
    }
}

/// What the sample clips decode to, as far as the index wants it compared.
fn frame_counts(case: &Case) -> KindResult {
    let compared = case.entry()["compare"].as_array();
    let wanted = |key: &&str| compared.is_none_or(|keys| keys.iter().any(|known| known == key));
    let mut produced = Vec::new();
    for path in case.json()?.as_object().ok_or("the case is no table of clips")?.keys() {
        let clip = probe(&case.folder().clip(path)?, &Limits::default())?;
        let pointer = path.replace('~', "~0").replace('/', "~1");
        for (key, value) in [("frames_decoded", f64::from(clip.frames())), ("fps", clip.rate.fps())] {
            produced.extend(wanted(&key).then(|| Produced::number(format!("{pointer}/{key}"), value)));
        }
    }
    Ok(produced)
}

/// Frames in the target, `[F, H, W, 3]`, as the filter leaves them.
fn fitted<'a>(
    frames: impl Iterator<Item = ArrayView3<'a, u8>>,
    target: Size,
) -> Result<Array4<f32>, Box<dyn Error>> {
    let fit = |frame: ArrayView3<u8>| {
        let (height, width, _) = frame.dim();
        resize_crop(frame, &Geometry::fill(size(height, width), target))
    };
    let frames = frames.map(fit).collect::<Result<Vec<_>, _>>()?;
    let views: Vec<_> = frames.iter().map(|frame| frame.view()).collect();
    Ok(stack(Axis(0), &views)?)
}

/// Fitted frames as the reference gives them to its encoder, `[3, F, H, W]`.
fn pixels(fitted: ArrayView4<f32>) -> Produced {
    let planes = fitted.permuted_axes([3, 0, 1, 2]);
    let values = planes.iter().map(|x| (x.clamp(0.0, 1.0) - 0.5) / 0.5).collect();
    Produced::f32("pixels", values, planes.shape())
}

fn size(height: usize, width: usize) -> Size {
    Size { width: width as u32, height: height as u32 }
}

/// A list of `N` whole numbers. `what` is named in errors.
fn lengths<const N: usize>(list: &Value, what: &str) -> Result<[u32; N], String> {
    let wrong = || format!("`{what}` is {list}, wanted {N} whole numbers");
    let numbers: Vec<u32> = serde_json::from_value(list.clone()).map_err(|_| wrong())?;
    numbers.try_into().map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::Table;
    use serde_json::json;

    /// Whether the choice of a bucket for one clip of 9 frames passes.
    fn passes(bucket_fhw: Value, chosen: Value) -> Option<bool> {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join(FOLDER);
        let case = json!({
            "buckets_fhw": [bucket_fhw],
            "rows": [{"item_fhw": [9, 50, 50], "bucket_fhw": chosen}],
        });
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("index.json"), r#"{"bucket-choice.json": {}}"#).unwrap();
        fs::write(folder.join("bucket-choice.json"), case.to_string()).unwrap();
        Table::of(dir.path(), KINDS).unwrap().rows[0].pass
    }

    #[test]
    fn a_clip_too_short_for_every_bucket_has_none() {
        assert_eq!(passes(json!([9, 32, 32]), json!([9, 32, 32])), Some(true));
        assert_eq!(passes(json!([9, 32, 32]), json!(null)), Some(false));
        assert_eq!(passes(json!([17, 32, 32]), json!(null)), Some(true));
        assert_eq!(passes(json!([17, 32, 32]), json!([17, 32, 32])), Some(false));
    }

    #[test]
    fn the_name_of_a_still_says_frame_and_step() {
        let read = |name| Still::named(name).map(|still| still.map(|still| (still.frame, still.step)).ok());
        assert_eq!(read("frame0_u8_half"), Some(Some((0, 2))));
        assert_eq!(read("frame12_u8_quarter"), Some(Some((12, 4))));
        assert_eq!(read("frame12_u8_eighth"), Some(None));
        assert_eq!(read("framex_u8_half"), Some(None));
        assert_eq!(read("pixels"), None);
    }
}
