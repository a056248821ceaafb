//! The 3x3x3 convolution as a sum of matrix products.
//!
//! With channels side by side and the borders part of the picture, the input that a tap of the kernel sees is the whole
//! input from some cell on: 27 products of the same sizes, each added onto the last, and nothing is unfolded into memory.
//! What lies between rows is computed, too, and cut away; of a picture of 24 by 24 cells that is a sixth.

use burn::{
    backend::{Backend, Cube, Dispatch, TensorMetadata, backend_extension, tensor::FloatTensor},
    tensor::{DType, Tensor},
};
use burn_cubecl::tensor::CubeTensor;

use super::{
    matrix::{Format, Multiply, Operand},
    ops::multiply,
    tensor::{contiguous, empty, enqueue, on_gpu},
};

/// Cells of the kernel along an axis, and those by which it leaves fewer.
const TAPS: usize = 3;
const BETWEEN: usize = TAPS - 1;
/// Cells of the result that all products are added onto before the next: 32 MB of 128 channels, which stay in the cache of a
/// large GPU. Of a result of any width they begin at a multiple of 16 bytes.
const ROWS: usize = 1 << 16;
/// A row of channels begins at a multiple of 16 bytes.
const CHANNELS: usize = 4;

/// Whether [`convolution`] takes `x`.
pub(crate) fn convolves(x: &Tensor<5>) -> bool {
    x.dtype() == DType::F32 && x.dims()[1].is_multiple_of(CHANNELS) && on_gpu(&x.device())
}

/// `x` `[B, in, F + 2, H, W]`, `weight` `[out, in, 3, 3, 3]` and `bias` `[out]` to `[B, out, F, ..]`, whose height and width are
/// what three cells at a time leave of those of `x` between `border` zeros. Nothing gets a gradient.
pub(crate) fn convolution(x: Tensor<5>, weight: Tensor<5>, bias: Tensor<1>, border: usize) -> Tensor<5> {
    let taps = weight.permute([2, 3, 4, 0, 1]); // [3, 3, 3, out, in]
    match x.dims()[0] {
        1 => of_sample(x, taps, bias, border),
        samples => {
            let sample = |i| of_sample(x.clone().narrow(0, i, 1), taps.clone(), bias.clone(), border);
            Tensor::cat((0..samples).map(sample).collect(), 0)
        }
    }
}

fn of_sample(x: Tensor<5>, taps: Tensor<5>, bias: Tensor<1>, border: usize) -> Tensor<5> {
    let cells = bordered(x.permute([0, 2, 3, 4, 1]), border); // [1, F + 2, H, W, in]
    let [_, _, height, width, _] = cells.dims();
    let out = Dispatch::convolved(cells.into_dispatch(), taps.into_dispatch(), bias.into_dispatch());
    let out: Tensor<5> = Tensor::from_dispatch(out);
    out.narrow(2, 0, height - BETWEEN).narrow(3, 0, width - BETWEEN).permute([0, 4, 1, 2, 3])
}

/// `cells` `[1, F, H, W, C]` with zeros around height and width, row after row in memory.
fn bordered(cells: Tensor<5>, border: usize) -> Tensor<5> {
    if border == 0 {
        return cells;
    }
    let [_, frames, height, width, channels] = cells.dims();
    let around = [1, frames, height + 2 * border, width + 2 * border, channels];
    let within = [0..1, 0..frames, border..border + height, border..border + width, 0..channels];
    Tensor::zeros(around, &cells.device()).slice_assign(within, cells)
}

/// The operation as the dispatch knows it.
#[backend_extension(Cube)]
pub(crate) trait Convolution: Backend {
    /// `cells` `[1, F, H, W, in]`, `taps` `[3, 3, 3, out, in]` and `bias` `[out]`, float32, to `[1, F - 2, H, W, out]`, whose
    /// last two rows and columns have no values.
    fn convolved(
        cells: FloatTensor<Self>,
        taps: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

impl Convolution for Cube {
    fn convolved(cells: CubeTensor, taps: CubeTensor, bias: CubeTensor) -> CubeTensor {
        let (cells, taps, bias) = (contiguous(cells), contiguous(taps), contiguous(bias));
        let [_, frames, height, width, inputs]: [usize; 5] = cells.shape().dims();
        let outputs = bias.shape()[0];
        let at = |frame: usize, row: usize, column: usize| (frame * height + row) * width + column;
        // Up to the last that has a value.
        let rows = at(frames - TAPS, height - TAPS, width - TAPS) + 1;
        let out = empty([1, frames - BETWEEN, height, width, outputs], DType::F32, &cells);
        enqueue([&cells, &taps, &bias, &out], |gpu, [cells, taps, bias, out]| {
            for start in (0..rows).step_by(ROWS) {
                let sizes = [ROWS.min(rows - start), inputs, outputs];
                for tap in 0..TAPS.pow(3) {
                    let first = start + at(tap / (TAPS * TAPS), tap / TAPS % TAPS, tap % TAPS);
                    let seen = Operand::plain(cells + bytes(first * inputs), Format::F32);
                    let weight = Operand::transposed(taps + bytes(tap * outputs * inputs), Format::F32);
                    let product =
                        Multiply::new(sizes, seen, weight, out + bytes(start * outputs), Format::F32);
                    let bias = if tap == 0 { bias } else { 0 };
                    multiply(gpu, &Multiply { add: tap > 0, bias, ..product })?;
                }
            }
            Ok(())
        });
        out
    }
}

fn bytes(numbers: usize) -> u64 {
    (numbers * size_of::<f32>()) as u64
}
