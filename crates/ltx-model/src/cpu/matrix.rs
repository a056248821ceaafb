//! Matrix products over parts of buffers.

use gemm::Parallelism;

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
        for start in (0..self.rows).step_by(TRANSPOSED) {
            let rows = TRANSPOSED.min(self.rows - start);
            for (col, out) in out.chunks_exact_mut(self.rows).enumerate() {
                let from = &self.data[start * self.strides[0] + col * self.strides[1]..];
                for (row, out) in out[start..start + rows].iter_mut().enumerate() {
                    *out = from[row * self.strides[0]];
                }
            }
        }
        out
    }
}

fn holds(len: usize, rows: usize, cols: usize, strides: [usize; 2]) -> bool {
    rows == 0 || cols == 0 || (rows - 1) * strides[0] + (cols - 1) * strides[1] < len
}

/// Rows that are transposed at a time: a cache line of the result.
const TRANSPOSED: usize = 16;

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

/// Where a product goes: a matrix whose rows lie `stride` apart in `data`.
#[derive(Debug)]
pub(crate) struct Target<'a> {
    data: &'a mut [f32],
    rows: usize,
    cols: usize,
    stride: usize,
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
        Self { data, rows, cols, stride }
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
    // SAFETY: the constructors have checked that every index of the three matrices lies within its slice, and the
    // target is borrowed mutably, so that it overlaps neither factor and no two of its elements are one.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.data.as_mut_ptr(),
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
    #[should_panic(expected = "beyond its data")]
    fn a_matrix_lies_within_its_data() {
        Matrix::strided(&[0.0; 5], 2, 3, [3, 1]);
    }
}
