//! Every matrix, range, depth and subsampling, against the formulas of the standards: pictures are made in YCbCr by hand
//! and written without loss.

use std::path::Path;

use tempfile::tempdir;
use video_rs::ffmpeg::{
    self, Dictionary, Packet, Rational, codec,
    color::{Range, Space},
    encoder,
    format::Pixel,
    frame,
};

use crate::{assert_near, first_frame, quarters};

const COLOURS: [[u8; 3]; 4] = [[200, 40, 30], [30, 180, 60], [40, 60, 200], [230, 230, 210]];

/// How samples are laid out: bits, and the shifts of the size of chroma planes.
#[derive(Clone, Copy)]
struct Layout {
    pixel: Pixel,
    bits: u32,
    across: u32,
    down: u32,
}

const LAYOUTS: [Layout; 8] = [
    Layout { pixel: Pixel::YUV420P, bits: 8, across: 1, down: 1 },
    Layout { pixel: Pixel::YUV422P, bits: 8, across: 1, down: 0 },
    Layout { pixel: Pixel::YUV444P, bits: 8, across: 0, down: 0 },
    Layout { pixel: Pixel::YUV420P10LE, bits: 10, across: 1, down: 1 },
    Layout { pixel: Pixel::YUV422P10LE, bits: 10, across: 1, down: 0 },
    Layout { pixel: Pixel::YUV444P10LE, bits: 10, across: 0, down: 0 },
    Layout { pixel: Pixel::YUV420P12LE, bits: 12, across: 1, down: 1 },
    Layout { pixel: Pixel::YUVA420P, bits: 8, across: 1, down: 1 },
];

/// The shares of red and blue in luma; BT.601 where none is stated.
const MATRICES: [(Space, f64, f64); 7] = [
    (Space::BT709, 0.2126, 0.0722),
    (Space::SMPTE170M, 0.299, 0.114),
    (Space::BT470BG, 0.299, 0.114),
    (Space::FCC, 0.30, 0.11),
    (Space::SMPTE240M, 0.212, 0.087),
    (Space::BT2020NCL, 0.2627, 0.0593),
    (Space::Unspecified, 0.299, 0.114),
];

/// Y, Cb and Cr of a colour as whole numbers of `bits`, and alpha that hides nothing.
fn encoded(colour: [u8; 3], (kr, kb): (f64, f64), range: Range, bits: u32) -> [u16; 4] {
    let [r, g, b] = colour.map(|value| f64::from(value) / 255.0);
    let y = kr * r + (1.0 - kr - kb) * g + kb * b;
    let (cb, cr) = ((b - y) / (2.0 * (1.0 - kb)), (r - y) / (2.0 * (1.0 - kr)));
    let (scale, full) = (f64::from(1 << (bits - 8)), f64::from((1 << bits) - 1));
    let levels = if range == Range::JPEG {
        [full * y, full * cb + 128.0 * scale, full * cr + 128.0 * scale, full]
    } else {
        [scale * (16.0 + 219.0 * y), scale * (128.0 + 224.0 * cb), scale * (128.0 + 224.0 * cr), full]
    };
    levels.map(|level| level.round() as u16)
}

/// A picture that shows [`COLOURS`] in its quarters.
fn picture(layout: Layout, (width, height): (u32, u32), matrix: (f64, f64), range: Range) -> frame::Video {
    let mut picture = frame::Video::new(layout.pixel, width, height);
    let colours = COLOURS.map(|colour| encoded(colour, matrix, range, layout.bits));
    for plane in 0..picture.planes() {
        let chroma = plane == 1 || plane == 2;
        let (across, down) = if chroma { (layout.across, layout.down) } else { (0, 0) };
        let (columns, rows) = (width.div_ceil(1 << across) as usize, height.div_ceil(1 << down) as usize);
        let levels = colours.map(|colour| colour[plane]);
        let stride = picture.stride(plane);
        for (y, line) in picture.data_mut(plane).chunks_mut(stride).take(rows).enumerate() {
            for x in 0..columns {
                let level = levels[usize::from(y >= rows / 2) * 2 + usize::from(x >= columns / 2)];
                match layout.bits {
                    8 => line[x] = level as u8,
                    _ => line[2 * x..2 * x + 2].copy_from_slice(&level.to_le_bytes()),
                }
            }
        }
    }
    picture
}

/// Writes a clip of one picture as FFV1 in Matroska.
fn write(path: &Path, picture: &mut frame::Video, space: Space, range: Range) -> Result<(), ffmpeg::Error> {
    ffmpeg::init()?;
    let mut output = ffmpeg::format::output_as(path, "matroska")?;
    let codec = encoder::find(codec::Id::FFV1).ok_or(ffmpeg::Error::EncoderNotFound)?;
    let mut video = codec::Context::new_with_codec(codec).encoder().video()?;
    video.set_width(picture.width());
    video.set_height(picture.height());
    video.set_format(picture.format());
    video.set_time_base(Rational(1, 25));
    video.set_colorspace(space);
    video.set_color_range(range);
    let mut video = video.open_as_with(codec, Dictionary::new())?;
    output.add_stream(codec)?.set_parameters(&video);
    output.write_header()?;
    picture.set_pts(Some(0));
    video.send_frame(picture)?;
    video.send_eof()?;
    let mut packet = Packet::empty();
    while video.receive_packet(&mut packet).is_ok() {
        packet.set_stream(0);
        packet.write_interleaved(&mut output)?;
    }
    output.write_trailer()
}

#[test]
fn every_matrix_range_and_depth_gives_the_same_colours() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("clip.mkv");
    for layout in LAYOUTS {
        for (space, kr, kb) in MATRICES {
            for range in [Range::MPEG, Range::JPEG] {
                for size in [(64, 48), (63, 47)] {
                    let mut picture = picture(layout, size, (kr, kb), range);
                    write(&path, &mut picture, space, range).unwrap();
                    let found = first_frame(&path);
                    assert_eq!(found.dim(), (size.1 as usize, size.0 as usize, 3));
                    let what = format!("{:?} {space:?} {range:?} {size:?}", layout.pixel);
                    assert_near(quarters(found.view()), COLOURS, 3, &what);
                }
            }
        }
    }
}
