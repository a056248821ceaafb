//! Limits on images, and what they count.

use image::{DynamicImage, ImageFormat, RgbImage};
use mask_norm::{ImageLimits, MaskError, Seen};
use tensor_batch::Blame;

use crate::{images::encoded, png};

fn read(bytes: &[u8]) -> Result<Seen, MaskError> {
    Seen::image(bytes, &ImageLimits::default())
}

fn kind(bytes: &[u8]) -> &'static str {
    read(bytes).unwrap_err().kind()
}

/// The bytes that reading takes, as the error says them.
fn needed(file: &[u8]) -> u64 {
    match Seen::image(file, &ImageLimits { max_side: 0, ..ImageLimits::default() }).unwrap_err() {
        MaskError::ImageTooLarge { bytes, .. } => bytes,
        other => panic!("{other}"),
    }
}

/// A JPEG with another start-of-frame marker and another size in it.
fn jpeg(marker: u8, side: u16) -> Vec<u8> {
    let mut file = encoded(RgbImage::new(64, 64), ImageFormat::Jpeg);
    let frame = file.windows(2).position(|at| at == [0xff, 0xc0]).unwrap();
    file[frame + 1] = marker;
    let sides = [side.to_be_bytes(), side.to_be_bytes()].concat();
    file[frame + 5..frame + 9].copy_from_slice(&sides);
    file
}

#[test]
fn a_header_that_claims_too_much_is_refused_before_anything_is_decoded() {
    let claim = |width, height| {
        png::file(&[png::header(width, height, 8, 2), png::pixels(&[]), (b"IEND", Vec::new())])
    };
    assert_eq!(kind(&claim(65000, 65000)), "image-too-large");
    assert_eq!(kind(&claim(8193, 1)), "image-too-large");
    assert_eq!(kind(&claim(1, 8193)), "image-too-large");
    let file = claim(65000, 65000);
    match read(&file).unwrap_err() {
        MaskError::ImageTooLarge { width, height, bytes, .. } => {
            assert_eq!((width, height, bytes), (65000, 65000, 3 * 65000 * 65000 + file.len() as u64));
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
fn a_progressive_jpeg_is_counted_with_all_its_coefficients() {
    // Per pixel, three bytes of colour, and two for each of three coefficients.
    let (plain, progressive) = (jpeg(0xc0, 64), jpeg(0xc2, 64));
    assert_eq!(needed(&plain), 3 * 64 * 64 + 2 * plain.len() as u64);
    assert_eq!(needed(&progressive), 9 * 64 * 64 + 2 * progressive.len() as u64);
    assert_eq!(kind(&jpeg(0xc2, 8192)), "image-too-large");
}

#[test]
fn limits_are_met_to_the_byte() {
    let image = DynamicImage::from(RgbImage::new(60, 40));
    let files = [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::WebP, ImageFormat::Jpeg]
        .map(|format| encoded(image.clone(), format));
    for file in files.into_iter().chain([encoded(image.to_rgba16(), ImageFormat::Png)]) {
        let needed = needed(&file);
        assert!(needed > file.len() as u64 + 3 * 60 * 40 - 1);
        let limits = |max_bytes, max_side| ImageLimits { max_bytes, max_side };
        assert!(Seen::image(&file, &limits(needed, 60)).is_ok());
        for limits in [limits(needed - 1, 60), limits(needed, 59)] {
            assert_eq!(Seen::image(&file, &limits).unwrap_err().kind(), "image-too-large");
        }
    }
}

/// Both make the decoders of their formats panic.
#[test]
fn files_that_decoders_give_up_on_are_unreadable() {
    let colours = [0, 0, 0, 255, 255, 255, 9];
    assert_eq!(kind(&png::image(2, 8, 3, Some(&colours), &[vec![0, 1]])), "unreadable-mask");
    assert_eq!(kind(include_bytes!("damaged.jpg")), "unreadable-mask");
}
