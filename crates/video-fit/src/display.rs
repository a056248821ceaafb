//! How a coded frame is to be shown: pixel aspect, rotation, mirroring.

use ndarray::{ArrayView3, Axis};
use tensor_batch::Size;
use video_rs::ffmpeg::{Stream, codec::packet::side_data::Type};

/// One of the eight ways to lay a frame: transposed or not, then mirrored along either axis or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Orientation {
    transpose: bool,
    mirror_x: bool,
    mirror_y: bool,
}

impl Orientation {
    /// What the container's display matrix asks for; a rotation by an odd angle becomes the nearest right one.
    pub(crate) fn of(stream: &Stream) -> Self {
        let matrix = stream.side_data().find(|data| data.kind() == Type::DisplayMatrix);
        matrix.map(|data| Self::from_matrix(data.data())).unwrap_or_default()
    }

    /// The matrix is nine native-endian `i32`, row by row; `(x, y)` is shown at `(a x + c y, b x + d y)` with
    /// `[a, b, _, c, d, ..]`, up to an offset that brings it back to the origin.
    fn from_matrix(bytes: &[u8]) -> Self {
        let (numbers, _) = bytes.as_chunks::<4>();
        let numbers: Vec<i32> = numbers.iter().map(|bytes| i32::from_ne_bytes(*bytes)).collect();
        let [a, b, _, c, d, ..] = numbers[..] else { return Self::default() };
        let size = |x: i32, y: i32| u64::from(x.unsigned_abs()) + u64::from(y.unsigned_abs());
        if size(b, c) > size(a, d) {
            Self { transpose: true, mirror_x: c < 0, mirror_y: b < 0 }
        } else {
            Self { transpose: false, mirror_x: a < 0, mirror_y: d < 0 }
        }
    }

    /// The size of a frame of `size` once it is laid.
    pub(crate) fn turned(self, size: Size) -> Size {
        if self.transpose { Size { width: size.height, height: size.width } } else { size }
    }

    /// Lays a frame `[h, w, 3]`.
    pub(crate) fn lay(self, mut frame: ArrayView3<u8>) -> ArrayView3<u8> {
        if self.transpose {
            frame.swap_axes(0, 1);
        }
        if self.mirror_x {
            frame.invert_axis(Axis(1));
        }
        if self.mirror_y {
            frame.invert_axis(Axis(0));
        }
        frame
    }
}

/// The size that shows `coded` samples of width `aspect` and height 1 as squares: the height is kept.
pub(crate) fn square_pixels(coded: Size, aspect: f64) -> Size {
    Size { width: ((f64::from(coded.width) * aspect).round() as u32).max(1), ..coded }
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;

    const ONE: i32 = 1 << 16;

    /// Shows `[[1, 2], [3, 4], [5, 6]]` by a matrix.
    fn shown(a: i32, b: i32, c: i32, d: i32) -> Vec<Vec<u8>> {
        let matrix = [a, b, 0, c, d, 0, 0, 0, 1 << 30].map(i32::to_ne_bytes).concat();
        let frame = Array3::from_shape_vec([3, 2, 1], vec![1, 2, 3, 4, 5, 6]).unwrap();
        let laid = Orientation::from_matrix(&matrix).lay(frame.view()).to_owned();
        laid.outer_iter().map(|row| row.iter().copied().collect()).collect()
    }

    #[test]
    fn all_eight_orientations_are_exact() {
        assert_eq!(shown(ONE, 0, 0, ONE), [[1, 2], [3, 4], [5, 6]]);
        assert_eq!(shown(0, ONE, -ONE, 0), [[5, 3, 1], [6, 4, 2]], "a quarter turn clockwise");
        assert_eq!(shown(-ONE, 0, 0, -ONE), [[6, 5], [4, 3], [2, 1]], "half a turn");
        assert_eq!(shown(0, -ONE, ONE, 0), [[2, 4, 6], [1, 3, 5]], "a quarter turn counter-clockwise");
        assert_eq!(shown(-ONE, 0, 0, ONE), [[2, 1], [4, 3], [6, 5]], "left to right");
        assert_eq!(shown(ONE, 0, 0, -ONE), [[5, 6], [3, 4], [1, 2]], "upside down");
        assert_eq!(shown(0, ONE, ONE, 0), [[1, 3, 5], [2, 4, 6]], "transposed");
        assert_eq!(shown(0, -ONE, -ONE, 0), [[6, 4, 2], [5, 3, 1]], "transposed the other way");
    }

    #[test]
    fn a_broken_matrix_turns_nothing() {
        assert_eq!(Orientation::from_matrix(&[0; 36]), Orientation::default());
        assert_eq!(Orientation::from_matrix(&[1; 7]), Orientation::default());
        assert_eq!(shown(i32::MIN, 0, 0, i32::MIN), shown(-ONE, 0, 0, -ONE));
    }

    #[test]
    fn wide_pixels_widen_the_frame() {
        let coded = Size { width: 720, height: 576 };
        assert_eq!(square_pixels(coded, 64.0 / 45.0), Size { width: 1024, height: 576 });
        assert_eq!(square_pixels(coded, 1e-9).width, 1);
    }
}
