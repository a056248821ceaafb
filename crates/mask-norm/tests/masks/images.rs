//! Mask images of every kind, and what is none.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, Rgb, RgbImage, codecs::jpeg::JpegEncoder, metadata::Orientation};
use mask_norm::{ImageLimits, MaskError, Seen};
use ndarray::Array2;
use proptest::prelude::*;
use tensor_batch::Blame;

use crate::{
    png,
    support::{COVER, HALF, image, size},
};

/// The mask of an image, pixel upon pixel.
fn read(bytes: &[u8]) -> Result<Array2<bool>, MaskError> {
    let pixels = image(COVER, bytes)?.pixels;
    Ok(pixels.values().index_axis(ndarray::Axis(0), 0).to_owned())
}

fn kind(bytes: &[u8]) -> &'static str {
    read(bytes).unwrap_err().kind()
}

pub(crate) fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn jpeg(image: &DynamicImage) -> Vec<u8> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, 100).encode_image(image).unwrap();
    bytes
}

pub(crate) fn png(mask: &Array2<bool>) -> Vec<u8> {
    encoded(picture(mask), ImageFormat::Png)
}

fn picture(mask: &Array2<bool>) -> DynamicImage {
    let (height, width) = mask.dim();
    let pixel = |x: u32, y: u32| Rgb([u8::from(mask[[y as usize, x as usize]]) * 255; 3]);
    RgbImage::from_fn(width as u32, height as u32, pixel).into()
}

/// A row of values, packed into bytes of `depth` bits a value.
fn packed(row: impl Iterator<Item = bool>, depth: u8) -> Vec<u8> {
    let bits: Vec<bool> = row.flat_map(|white| std::iter::repeat_n(white, depth.into())).collect();
    bits.chunks(8)
        .map(|byte| byte.iter().enumerate().fold(0, |sum, (i, bit)| sum | u8::from(*bit) << (7 - i)))
        .collect()
}

fn rows(mask: &Array2<bool>, depth: u8) -> Vec<Vec<u8>> {
    mask.outer_iter().map(|row| packed(row.iter().copied(), depth)).collect()
}

/// Every lossless way to write a mask.
fn encodings(mask: &Array2<bool>) -> Vec<(String, Vec<u8>)> {
    let width = mask.ncols() as u32;
    let picture = picture(mask);
    let mut files = Vec::new();
    for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::WebP] {
        files.push((format!("{format:?} rgb8"), encoded(picture.to_rgb8(), format)));
        files.push((format!("{format:?} rgba8"), encoded(picture.to_rgba8(), format)));
    }
    for image in [
        DynamicImage::from(picture.to_luma8()),
        picture.to_luma_alpha8().into(),
        picture.to_luma16().into(),
        picture.to_luma_alpha16().into(),
        picture.to_rgb16().into(),
        picture.to_rgba16().into(),
    ] {
        files.push((format!("png {:?}", image.color()), encoded(image, ImageFormat::Png)));
    }
    for depth in [1, 2, 4, 8, 16] {
        files.push((format!("png grey {depth} bit"), png::image(width, depth, 0, None, &rows(mask, depth))));
    }
    let palette: Vec<u8> = (0..=255u8).flat_map(|i| [if i == 0 { 255 } else { 0 }; 3]).collect();
    for depth in [1, 2, 4, 8] {
        let palette = &palette[..3 << depth];
        // Index 0 is white here.
        let file = png::image(width, depth, 3, Some(palette), &rows(&mask.mapv(|white| !white), depth));
        files.push((format!("png palette {depth} bit"), file));
    }
    let clear = mask.map(|white| image::Rgba([255, 255, 255, u8::from(*white) * 255]));
    let clear = image::RgbaImage::from_fn(width, mask.nrows() as u32, |x, y| clear[[y as usize, x as usize]]);
    files.push(("png, black by transparency".into(), encoded(clear, ImageFormat::Png)));
    files
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_encoding_of_a_mask_gives_the_same_mask(
        (height, width, white) in (1usize..12, 1usize..20)
            .prop_flat_map(|(h, w)| (Just(h), Just(w), prop::collection::vec(any::<bool>(), h * w)))
    ) {
        let mask = Array2::from_shape_vec((height, width), white).unwrap();
        for (how, file) in encodings(&mask) {
            for rule in [COVER, HALF] {
                let read = image(rule, &file).unwrap();
                for frame in read.pixels.values().outer_iter() {
                    prop_assert_eq!(frame, &mask, "{}", how);
                }
                prop_assert_eq!(read.seen, Seen { size: size(width as u32, height as u32), grey: 0.0 });
            }
        }
    }

    #[test]
    fn a_jpeg_of_flat_blocks_gives_the_same_mask(
        (height, width, white) in (1usize..4, 1usize..4)
            .prop_flat_map(|(h, w)| (Just(h), Just(w), prop::collection::vec(any::<bool>(), h * w)))
    ) {
        let blocks = Array2::from_shape_vec((height, width), white).unwrap();
        let mask = Array2::from_shape_fn((16 * height, 16 * width), |(y, x)| blocks[[y / 16, x / 16]]);
        for image in [picture(&mask), picture(&mask).to_luma8().into()] {
            prop_assert_eq!(&read(&jpeg(&image)).unwrap(), &mask);
        }
    }

    #[test]
    fn any_orientation_is_turned_upright(blocks in prop::collection::vec(any::<bool>(), 6), exif in 1u8..=8) {
        // Flat blocks of 16 pixels: three across, two down.
        let mask = Array2::from_shape_fn((32, 48), |(y, x)| blocks[y / 16 * 3 + x / 16]);
        let mut upright = picture(&mask);
        upright.apply_orientation(Orientation::from_exif(exif).unwrap());
        let upright = upright.to_luma8();
        let wanted = Array2::from_shape_fn((upright.height() as usize, upright.width() as usize), |(y, x)| {
            upright.get_pixel(x as u32, y as u32).0[0] == 255
        });
        for file in [with_exif::png(&mask, exif), with_exif::jpeg(&mask, exif), with_exif::webp(&mask, exif)] {
            prop_assert_eq!(&read(&file).unwrap(), &wanted);
        }
    }

    #[test]
    fn changed_bytes_never_panic(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        keep in any::<prop::sample::Index>(),
    ) {
        let mask = Array2::from_shape_fn((9, 13), |(y, x)| x > y);
        let mut files = encodings(&mask);
        files.push(("jpeg".into(), encoded(picture(&mask), ImageFormat::Jpeg)));
        let mut file = which.get(&files).1.clone();
        for (at, byte) in changes {
            let at = at.index(file.len());
            file[at] = byte;
        }
        let _ = read(&file);
        file.truncate(keep.index(file.len()));
        let _ = read(&file);
    }
}

/// Files that say how they have to be turned.
mod with_exif {
    use super::*;

    pub(super) fn png(mask: &Array2<bool>, orientation: u8) -> Vec<u8> {
        let (height, width) = mask.dim();
        png::file(&[
            png::header(width as u32, height as u32, 8, 0),
            png::exif(orientation),
            png::pixels(&rows(mask, 8)),
            (b"IEND", Vec::new()),
        ])
    }

    pub(super) fn jpeg(mask: &Array2<bool>, orientation: u8) -> Vec<u8> {
        let mut file = super::jpeg(&picture(mask));
        let segment = [b"Exif\0\0".as_slice(), &png::exif(orientation).1].concat();
        let marker = [&[0xff, 0xe1][..], &(segment.len() as u16 + 2).to_be_bytes(), &segment].concat();
        file.splice(2..2, marker);
        file
    }

    /// The chunk of pixels that the encoder wrote, in a file with a header for more than pixels.
    pub(super) fn webp(mask: &Array2<bool>, orientation: u8) -> Vec<u8> {
        let plain = encoded(picture(mask), ImageFormat::WebP);
        let (height, width) = mask.dim();
        let size = |side: usize| (side as u32 - 1).to_le_bytes()[..3].to_vec();
        let exif = png::exif(orientation).1;
        let header = [&[8, 0, 0, 0][..], &size(width), &size(height)].concat();
        let chunk = |name: &[u8], data: &[u8]| [name, &(data.len() as u32).to_le_bytes(), data].concat();
        let body =
            [b"WEBP".as_slice(), &chunk(b"VP8X", &header), &plain[12..], &chunk(b"EXIF", &exif)].concat();
        chunk(b"RIFF", &body)
    }
}

#[test]
fn what_a_mask_looks_like_can_be_asked_without_a_clip() {
    let picture = RgbImage::from_fn(5, 2, |x, _| Rgb([[0, 60, 128, 200, 255][x as usize]; 3]));
    let seen = Seen::image(&encoded(picture, ImageFormat::Png), &ImageLimits::default()).unwrap();
    assert_eq!(seen, Seen { size: size(5, 2), grey: 0.6 });
}

proptest! {
    #[test]
    fn grey_is_the_same_in_8_and_16_bits(pixels in prop::collection::vec(any::<[u8; 4]>(), 1..40)) {
        let rgba = image::RgbaImage::from_fn(pixels.len() as u32, 1, |x, _| image::Rgba(pixels[x as usize]));
        let deep = DynamicImage::from(rgba.clone()).to_rgba16();
        prop_assert!(deep.pixels().zip(rgba.pixels()).all(|(deep, p)| deep.0 == p.0.map(|v| u16::from(v) * 257)));
        let [seen, deep] = [DynamicImage::from(rgba), deep.into()]
            .map(|image| Seen::image(&encoded(image, ImageFormat::Png), &ImageLimits::default()).unwrap());
        prop_assert_eq!(seen, deep);
        // Mean times alpha, of 255 * 255.
        let tenths = |p: &[u8; 4]| 10 * p[..3].iter().map(|v| u32::from(*v)).sum::<u32>() * u32::from(p[3]);
        let grey = pixels.iter().filter(|p| (3 * 65025 + 1..9 * 3 * 65025).contains(&tenths(p))).count();
        prop_assert_eq!(seen.grey, grey as f64 / pixels.len() as f64);
    }
}

#[test]
fn what_is_no_image_is_unreadable() {
    let whole = encoded(RgbImage::new(20, 20), ImageFormat::Png);
    for wrong in [b"".as_slice(), b"rubbish", b"GIF89a\x01\0\x01\0", &whole[..40], &whole[..whole.len() / 2]]
    {
        assert_eq!(kind(wrong), "unreadable-mask");
    }
}
