//! Matrix products over parts of buffers.

use std::{marker::PhantomData, ops::Range};

use gemm::Parallelism;

use super::parallel::simd;

/// A matrix of `rows` by `cols` within `data`, whose neighbours lie `strides` apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    strides: [usize; 2],
}

impl<'a> Matrix<'a> {
    /// Row after row.
    pub(crate) fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, [cols, 1])
    }

    /// Rows and columns `strides` apart, from the start of `data` on.
    ///
    /// # Panics
    /// If the matrix does not lie within `data`.
    pub(crate) fn strided(data: &'a [f32], rows: usize, cols: usize, strides: [usize; 2]) -> Self {
        assert!(holds(data.len(), rows, cols, strides), "a matrix reaches beyond its data");
        Self { data, rows, cols, strides }
    }

    /// The transposed matrix, in the same place.
    pub(crate) fn t(self) -> Self {
        let [row, col] = self.strides;
        Self { rows: self.cols, cols: self.rows, strides: [col, row], ..self }
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The values column after column, in the memory of `out`.
    pub(crate) fn transposed(self, mut out: Vec<f32>) -> Vec<f32> {
        out.resize(self.rows * self.cols, 0.0);
        let whole = [self.rows / SIDE * SIDE, self.cols / SIDE * SIDE];
        let squares = if self.strides[1] == 1 { whole } else { [0, 0] };
        simd(
            #[inline(always)]
            || {
                for row in (0..squares[0]).step_by(SIDE) {
                    for col in (0..squares[1]).step_by(SIDE) {
                        self.transpose_square(row, col, &mut out);
                    }
                }
            },
        );
        // What no whole square holds: columns beside them, and rows below.
        self.transpose_each(0..squares[0], squares[1]..self.cols, &mut out);
        self.transpose_each(squares[0]..self.rows, 0..self.cols, &mut out);
        out
    }

    /// A square whose rows lie in one piece each. A plain loop of known length: faster than arrays and shuffles.
    #[inline(always)]
    fn transpose_square(self, row: usize, col: usize, out: &mut [f32]) {
        let (stride, rows) = (self.strides[0], self.rows);
        let (from, out) = (&self.data[row * stride + col..], &mut out[col * rows + row..]);
        for j in 0..SIDE {
            for i in 0..SIDE {
                out[j * rows + i] = from[i * stride + j];
            }
        }
    }

    fn transpose_each(self, rows: Range<usize>, cols: Range<usize>, out: &mut [f32]) {
        for col in cols {
            for row in rows.clone() {
                out[col * self.rows + row] = self.data[row * self.strides[0] + col * self.strides[1]];
            }
        }
    }
}

fn holds(len: usize, rows: usize, cols: usize, strides: [usize; 2]) -> bool {
    rows == 0 || cols == 0 || (rows - 1) * strides[0] + (cols - 1) * strides[1] < len
}

/// Rows and columns that are transposed at a time: a cache line each way.
const SIDE: usize = 16;

/// Whether a product replaces what was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    /// `out = scale a b`.
    Replace,
    /// `out = out + scale a b`.
    Add,
}

/// How many threads a product may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    /// This one.
    One,
    /// All of the pool.
    All,
}

/// Products of fewer multiplications are not worth the hand-over to other threads.
const WORTH_THREADS: usize = 1 << 21;

/// Where a product goes: a matrix whose rows lie `stride` apart from `data` on, in memory that is its own for as long as
/// it lives. Unless [`product`] made it, all of it was written before.
#[derive(Debug)]
pub(crate) struct Target<'a> {
    data: *mut f32,
    rows: usize,
    cols: usize,
    stride: usize,
    owner: PhantomData<&'a mut [f32]>,
}

impl<'a> Target<'a> {
    /// Row after row.
    pub(crate) fn new(data: &'a mut [f32], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// Rows `stride` apart, from the start of `data` on.
    ///
    /// # Panics
    /// If the matrix does not lie within `data`.
    pub(crate) fn strided(data: &'a mut [f32], rows: usize, cols: usize, stride: usize) -> Self {
        assert!(
            cols <= stride && holds(data.len(), rows, cols, [stride, 1]),
            "a product reaches beyond its data"
        );
        Self { data: data.as_mut_ptr(), rows, cols, stride, owner: PhantomData }
    }
}

/// `out = scale a b`, or the same added.
///
/// # Panics
/// If the shapes do not fit.
pub(crate) fn multiply(
    out: Target<'_>,
    a: Matrix<'_>,
    b: Matrix<'_>,
    scale: f32,
    store: Store,
    threads: Threads,
) {
    let (m, n, k) = (a.rows, b.cols, a.cols);
    assert!(out.rows == m && out.cols == n && b.rows == k, "shapes of a product do not fit");
    let parallel = threads == Threads::All && m * n * k >= WORTH_THREADS;
    let parallelism = if parallel { Parallelism::Rayon(0) } else { Parallelism::None };
    let [a_row, a_col] = a.strides.map(|stride| stride as isize);
    let [b_row, b_col] = b.strides.map(|stride| stride as isize);
    // SAFETY: every index of the three matrices lies within its memory, since their shapes fit. The target has its own,
    // so that it overlaps neither factor and no two of its elements are one.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.data,
            1,
            out.stride as isize,
            store == Store::Add,
            a.data.as_ptr(),
            a_col,
            a_row,
            b.data.as_ptr(),
            b_col,
            b_row,
            1.0,
            scale,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// `scale a b`, row after row, by all threads.
///
/// # Panics
/// If the shapes do not fit.
pub(crate) fn product(a: Matrix<'_>, b: Matrix<'_>, scale: f32) -> Vec<f32> {
    let (rows, cols) = (a.rows, b.cols);
    let mut out = Vec::with_capacity(rows * cols);
    let target = Target { data: out.as_mut_ptr(), rows, cols, stride: cols, owner: PhantomData };
    multiply(target, a, b, scale, Store::Replace, Threads::All);
    // SAFETY: a product that replaces what was there reads none of it and writes all.
    unsafe { out.set_len(rows * cols) };
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_take_every_stride_and_add() {
        let a: Vec<f32> = (0..6).map(|i| i as f32).collect(); // [2, 3]
        let b: Vec<f32> = (0..12).map(|i| i as f32 - 5.0).collect(); // [4, 3]
        let mut out = vec![1.0; 8];
        let (a, b) = (Matrix::new(&a, 2, 3), Matrix::new(&b, 4, 3).t());
        multiply(Target::new(&mut out, 2, 4), a, b, 2.0, Store::Add, Threads::One);
        let right = |i: usize, j: usize| {
            1.0 + 2.0 * (0..3).map(|k| ((3 * i + k) as f32) * ((3 * j + k) as f32 - 5.0)).sum::<f32>()
        };
        let right: Vec<f32> = (0..8).map(|at| right(at / 4, at % 4)).collect();
        assert_eq!(out, right);
        multiply(Target::new(&mut out, 2, 4), a, b, 0.0, Store::Replace, Threads::All);
        assert_eq!(out, [0.0; 8]);
    }

    #[test]
    fn a_product_of_its_own_is_the_same() {
        let (a, b): (Vec<f32>, Vec<f32>) = ((0..35).map(|i| i as f32).collect(), vec![0.5; 15]);
        let (a, b) = (Matrix::new(&a, 7, 5), Matrix::new(&b, 5, 3));
        let mut out = vec![f32::NAN; 21];
        multiply(Target::new(&mut out, 7, 3), a, b, 3.0, Store::Replace, Threads::One);
        assert_eq!(product(a, b, 3.0), out);
        // A sum of nothing is nought.
        assert_eq!(product(Matrix::new(&[], 2, 0), Matrix::new(&[], 0, 3), 1.0), [0.0; 6]);
    }

    #[test]
    fn transposing_takes_every_size_and_stride() {
        let data: Vec<f32> = (0..6000).map(|i| i as f32).collect();
        for (rows, cols, strides) in [
            (1, 1, [1, 1]),
            (16, 16, [16, 1]),
            (32, 48, [64, 1]),
            (50, 37, [40, 1]),
            (33, 20, [3, 99]),
            (0, 4, [4, 1]),
        ] {
            let found = Matrix::strided(&data, rows, cols, strides).transposed(vec![7.0; 5]);
            let at = |i: usize| (i % rows) * strides[0] + (i / rows) * strides[1];
            let right: Vec<f32> = (0..rows * cols).map(|i| at(i) as f32).collect();
            assert_eq!(found, right, "{rows} by {cols}");
        }
    }

    #[test]
    #[should_panic(expected = "beyond its data")]
    fn a_matrix_lies_within_its_data() {
        Matrix::strided(&[0.0; 5], 2, 3, [3, 1]);
    }
}
