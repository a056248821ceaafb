//! Mask images of every kind, and what is none.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use mask_norm::{ImageLimits, MaskError, MaskFrame};
use ndarray::Array2;
use proptest::prelude::*;
use tensor_batch::Blame;

use crate::png;

fn read(bytes: &[u8]) -> Result<MaskFrame, MaskError> {
    MaskFrame::from_image(bytes, &ImageLimits::default())
}

fn kind(bytes: &[u8]) -> &'static str {
    read(bytes).unwrap_err().kind()
}

fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
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
            let frame = read(&file).unwrap();
            prop_assert_eq!(frame.white(), &mask, "{}", how);
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

#[test]
fn a_jpeg_is_read_by_its_content() {
    let mask = Array2::from_shape_fn((32, 48), |(_, x)| x >= 16);
    assert_eq!(read(&encoded(picture(&mask).to_luma8(), ImageFormat::Jpeg)).unwrap().white(), &mask);
}

#[test]
fn exif_orientation_is_applied() {
    let chunks = [
        png::header(3, 2, 8, 0),
        png::exif(6),
        png::pixels(&[vec![255, 0, 0], vec![0, 0, 0]]),
        (b"IEND", Vec::new()),
    ];
    let frame = read(&png::file(&chunks)).unwrap();
    // Turned a quarter to the right: what was top left is top right.
    assert_eq!(frame.white(), &Array2::from_shape_fn((3, 2), |at| at == (0, 1)));

    let mut jpeg = encoded(picture(&Array2::from_shape_fn((16, 32), |(_, x)| x < 16)), ImageFormat::Jpeg);
    let segment = [b"Exif\0\0".as_slice(), &png::exif(6).1].concat();
    let marker = [&[0xff, 0xe1][..], &(segment.len() as u16 + 2).to_be_bytes(), &segment].concat();
    jpeg.splice(2..2, marker);
    assert_eq!(read(&jpeg).unwrap().white(), &Array2::from_shape_fn((32, 16), |(y, _)| y < 16));
}

#[test]
fn a_header_that_claims_too_much_is_refused_before_anything_is_decoded() {
    let claim = |width, height| {
        png::file(&[png::header(width, height, 8, 2), png::pixels(&[]), (b"IEND", Vec::new())])
    };
    assert_eq!(kind(&claim(65000, 65000)), "image-too-large");
    assert_eq!(kind(&claim(8193, 1)), "image-too-large");
    assert_eq!(kind(&claim(1, 8193)), "image-too-large");
    match read(&claim(65000, 65000)).unwrap_err() {
        MaskError::ImageTooLarge { width, height, bytes, .. } => {
            assert_eq!((width, height, bytes), (65000, 65000, 3 * 65000 * 65000));
        }
        other => panic!("{other}"),
    }
    let mut bmp = encoded(RgbImage::new(1, 1), ImageFormat::Bmp);
    bmp[18..22].copy_from_slice(&60_000i32.to_le_bytes());
    bmp[22..26].copy_from_slice(&60_000i32.to_le_bytes());
    assert_eq!(kind(&bmp), "image-too-large");
    // Within the sides, but not within the bytes.
    let claim = png::file(&[png::header(8192, 8192, 16, 6), png::pixels(&[]), (b"IEND", Vec::new())]);
    assert_eq!(kind(&claim), "image-too-large");
}

#[test]
fn what_is_no_image_is_unreadable() {
    let whole = encoded(RgbImage::new(20, 20), ImageFormat::Png);
    for wrong in [b"".as_slice(), b"rubbish", b"GIF89a\x01\0\x01\0", &whole[..40], &whole[..whole.len() / 2]]
    {
        assert_eq!(kind(wrong), "unreadable-mask");
    }
}
