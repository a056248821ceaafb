//! Words on a picture.

use image::{Rgb, RgbImage};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

const WEIGHT: FontWeight = FontWeight::Regular;
const SIZE: RasterHeight = RasterHeight::Size16;

/// Pixels from one line to the next.
pub(crate) const HEIGHT: u32 = 20;
/// Pixels of every letter.
pub(crate) const WIDTH: u32 = get_raster_width(WEIGHT, SIZE) as u32;

/// Writes one line, its upper left corner at `[x, y]`. Letters beyond the picture's edge are cut, and those that the
/// font does not have become question marks.
pub(crate) fn draw(picture: &mut RgbImage, [x, y]: [u32; 2], text: &str, colour: Rgb<u8>) {
    for (place, letter) in (0u32..).zip(text.chars()) {
        let glyph = get_raster(letter, WEIGHT, SIZE).or_else(|| get_raster('?', WEIGHT, SIZE));
        let Some(glyph) = glyph else { continue };
        for (dy, row) in (0u32..).zip(glyph.rows()) {
            for (dx, opacity) in (0u32..).zip(row) {
                if let Some(pixel) = picture.get_pixel_mut_checked(x + place * WIDTH + dx, y + dy) {
                    *pixel = mixed(*pixel, colour, f32::from(*opacity) / 255.0);
                }
            }
        }
    }
}

/// The beginning of a text that fills at most `columns`.
pub(crate) fn shortened(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    text.chars().take(columns.saturating_sub(3)).chain("...".chars()).collect()
}

/// `over` laid on `under` with this opacity, 0 to 1.
pub(crate) fn mixed(under: Rgb<u8>, over: Rgb<u8>, opacity: f32) -> Rgb<u8> {
    let mix = |channel: usize| {
        (f32::from(under.0[channel]) * (1.0 - opacity) + f32::from(over.0[channel]) * opacity).round() as u8
    };
    Rgb([mix(0), mix(1), mix(2)])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns of a white-on-black line that have any ink.
    fn inked(text: &str, width: u32) -> Vec<bool> {
        let mut picture = RgbImage::new(width, HEIGHT);
        draw(&mut picture, [0, 0], text, Rgb([255; 3]));
        (0..width).map(|x| (0..HEIGHT).any(|y| picture.get_pixel(x, y).0[0] > 100)).collect()
    }

    #[test]
    fn letters_stand_side_by_side() {
        let inked = inked("M M", 4 * WIDTH);
        let of = |place: u32| inked[(place * WIDTH) as usize..((place + 1) * WIDTH) as usize].contains(&true);
        assert_eq!([0, 1, 2, 3].map(of), [true, false, true, false]);
    }

    #[test]
    fn what_does_not_fit_is_cut_and_what_is_unknown_is_a_question_mark() {
        assert_eq!(inked("MMMM", WIDTH).len(), WIDTH as usize);
        assert_eq!(inked("\u{732b}", WIDTH), inked("?", WIDTH));
    }

    #[test]
    fn long_texts_are_shortened_by_letters() {
        assert_eq!(shortened("aüb", 3), "aüb");
        assert_eq!(shortened("aübcd", 4), "a...");
    }
}
