//! Matrix products by cuBLASLt, with float32 sums.

use std::{collections::HashMap, ffi::c_void, fmt};

use cudarc::{
    cublaslt::{
        result::{self, CublasError},
        sys::{
            cublasComputeType_t, cublasLtEpilogue_t, cublasLtHandle_t, cublasLtMatmulAlgo_t,
            cublasLtMatmulDesc_t, cublasLtMatmulDescAttributes_t as Of,
            cublasLtMatmulPreferenceAttributes_t as Prefer, cublasLtMatrixLayout_t,
            cublasLtMatrixLayoutAttribute_t as Layout, cudaDataType,
        },
    },
    driver::{self, sys::CUstream},
};

use super::CudaError;

/// What a product may use besides its operands, bytes: what NVIDIA advises for Hopper.
const WORKSPACE: usize = 32 << 20;
/// Every row of every operand begins at a multiple of this, bytes.
const ALIGNMENT: u32 = 16;

/// cuBLASLt on one device.
#[derive(Debug)]
pub(crate) struct Matrices {
    handle: cublasLtHandle_t,
    workspace: u64,
    chosen: HashMap<Product, Chosen>,
}

/// A number format of an operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Format {
    /// bfloat16.
    Bf16,
    /// float32.
    F32,
}

/// A matrix, row after row, or its transpose.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operand {
    /// Where it is.
    pub(crate) address: u64,
    /// What its numbers are.
    pub(crate) format: Format,
    /// Whether it is to be read transposed.
    pub(crate) transposed: bool,
}

impl Operand {
    /// A matrix as it lies.
    pub(crate) fn plain(address: u64, format: Format) -> Self {
        Self { address, format, transposed: false }
    }

    /// A matrix read transposed.
    pub(crate) fn transposed(address: u64, format: Format) -> Self {
        Self { address, format, transposed: true }
    }
}

/// `out = scale a b + (out if add) + bias`: `a` `[rows, inner]`, `b` `[inner, columns]`, after transposition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Multiply {
    /// How many products, one after the other in every operand.
    pub(crate) batch: usize,
    pub(crate) rows: usize,
    pub(crate) inner: usize,
    pub(crate) columns: usize,
    pub(crate) a: Operand,
    pub(crate) b: Operand,
    pub(crate) out: u64,
    pub(crate) out_format: Format,
    pub(crate) scale: f32,
    pub(crate) add: bool,
    /// A row to add to every row, in the format of the result; 0 is none.
    pub(crate) bias: u64,
}

impl Multiply {
    /// `a b`, one product.
    pub(crate) fn new(
        [rows, inner, columns]: [usize; 3],
        a: Operand,
        b: Operand,
        out: u64,
        out_format: Format,
    ) -> Self {
        Self { batch: 1, rows, inner, columns, a, b, out, out_format, scale: 1.0, add: false, bias: 0 }
    }
}

/// What decides how a product is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Product {
    batch: usize,
    sizes: [usize; 3],
    formats: [Format; 3],
    transposed: [bool; 2],
    add: bool,
    bias: bool,
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [rows, inner, columns] = self.sizes;
        write!(f, "[{rows}, {inner}] x [{inner}, {columns}] ({:?}, {:?})", self.formats, self.transposed)
    }
}

/// A product ready to be computed.
#[derive(Debug)]
struct Chosen {
    description: cublasLtMatmulDesc_t,
    /// Of cuBLASLt's own first and second operand, and of the result.
    layouts: [cublasLtMatrixLayout_t; 3],
    algorithm: cublasLtMatmulAlgo_t,
}

impl Format {
    fn data_type(self) -> cudaDataType {
        match self {
            Self::Bf16 => cudaDataType::CUDA_R_16BF,
            Self::F32 => cudaDataType::CUDA_R_32F,
        }
    }
}

impl Matrices {
    /// cuBLASLt in the current context.
    pub(crate) fn new() -> Result<Self, CudaError> {
        let blas = |source| CudaError::Blas { call: "cublasLtCreate".to_owned(), source };
        let handle = result::create_handle().map_err(blas)?;
        // SAFETY: held for good.
        let workspace =
            unsafe { driver::result::malloc_sync(WORKSPACE) }.map_err(CudaError::driver("cuMemAlloc"))?;
        Ok(Self { handle, workspace, chosen: HashMap::new() })
    }

    /// Enqueues a product.
    ///
    /// # Safety
    /// The addresses must be those of matrices of these sizes and formats in the current context.
    pub(crate) unsafe fn multiply(&mut self, m: &Multiply, stream: CUstream) -> Result<(), CudaError> {
        let product = Product {
            batch: m.batch,
            sizes: [m.rows, m.inner, m.columns],
            formats: [m.a.format, m.b.format, m.out_format],
            transposed: [m.a.transposed, m.b.transposed],
            add: m.add,
            bias: m.bias != 0,
        };
        let failed = |source| CudaError::Blas { call: product.to_string(), source };
        let (handle, workspace) = (self.handle, self.workspace);
        let chosen = match self.chosen.entry(product) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                // SAFETY: the handle is cuBLASLt's.
                entry.insert(unsafe { choose(handle, &product) }.map_err(failed)?)
            }
        };
        let zero_or_one = f32::from(u8::from(m.add));
        let [first, second, out] = chosen.layouts;
        // SAFETY: the caller's, for addresses; the rest was made for this product. Rows of ours are columns of
        // cuBLASLt's: it computes out^T = b^T a^T.
        unsafe {
            if m.bias != 0 {
                set(chosen.description, Of::CUBLASLT_MATMUL_DESC_BIAS_POINTER, &m.bias).map_err(failed)?;
            }
            result::matmul(
                handle,
                chosen.description,
                std::ptr::from_ref(&m.scale).cast(),
                std::ptr::from_ref(&zero_or_one).cast(),
                m.b.address as *const c_void,
                first,
                m.a.address as *const c_void,
                second,
                m.out as *const c_void,
                out,
                m.out as *mut c_void,
                out,
                &raw const chosen.algorithm,
                workspace as *mut c_void,
                WORKSPACE,
                stream.cast(),
            )
        }
        .map_err(failed)
    }
}

/// # Safety
/// `description` must exist, and `value` be of the attribute's type.
unsafe fn set<T>(description: cublasLtMatmulDesc_t, attribute: Of, value: &T) -> Result<(), CublasError> {
    // SAFETY: the caller's.
    unsafe {
        result::set_matmul_desc_attribute(
            description,
            attribute,
            std::ptr::from_ref(value).cast(),
            size_of::<T>(),
        )
    }
}

/// Asks cuBLASLt for its best way to compute a product.
///
/// # Safety
/// `handle` must be cuBLASLt's.
unsafe fn choose(handle: cublasLtHandle_t, product: &Product) -> Result<Chosen, CublasError> {
    let [rows, inner, columns] = product.sizes.map(|size| size as u64);
    let [a, b, out] = product.formats.map(Format::data_type);
    // Ours, row after row, are its transposes, column after column.
    let layout = |format, height: u64, width: u64, transposed: bool| {
        let (height, width) = if transposed { (height, width) } else { (width, height) };
        let layout = result::create_matrix_layout(format, height, width, height as i64)?;
        // SAFETY: the layout was just made, and the values are of the attributes' types.
        unsafe {
            let (batch, step) = (product.batch as i32, (height * width) as i64);
            let count = Layout::CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT;
            let offset = Layout::CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET;
            result::set_matrix_layout_attribute(
                layout,
                count,
                std::ptr::from_ref(&batch).cast(),
                size_of::<i32>(),
            )?;
            result::set_matrix_layout_attribute(
                layout,
                offset,
                std::ptr::from_ref(&step).cast(),
                size_of::<i64>(),
            )?;
        }
        Ok::<_, CublasError>(layout)
    };
    let layouts = [
        layout(b, inner, columns, product.transposed[1])?,
        layout(a, rows, inner, product.transposed[0])?,
        layout(out, rows, columns, false)?,
    ];
    let description =
        result::create_matmul_desc(cublasComputeType_t::CUBLAS_COMPUTE_32F, cudaDataType::CUDA_R_32F)?;
    let preference = result::create_matmul_pref()?;
    // SAFETY: all of these were just made, and the values are of the attributes' types.
    unsafe {
        set(description, Of::CUBLASLT_MATMUL_DESC_TRANSA, &i32::from(product.transposed[1]))?;
        set(description, Of::CUBLASLT_MATMUL_DESC_TRANSB, &i32::from(product.transposed[0]))?;
        if product.bias {
            set(description, Of::CUBLASLT_MATMUL_DESC_EPILOGUE, &cublasLtEpilogue_t::CUBLASLT_EPILOGUE_BIAS)?;
            set(description, Of::CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &out)?;
        }
        let prefer = |attribute, value: *const c_void, size| {
            result::set_matmul_pref_attribute(preference, attribute, value, size)
        };
        let workspace = WORKSPACE;
        prefer(
            Prefer::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
            std::ptr::from_ref(&workspace).cast(),
            size_of::<usize>(),
        )?;
        for attribute in [
            Prefer::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
            Prefer::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
            Prefer::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
            Prefer::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES,
        ] {
            prefer(attribute, std::ptr::from_ref(&ALIGNMENT).cast(), size_of::<u32>())?;
        }
        let [first, second, out] = layouts;
        let found =
            result::get_matmul_algo_heuristic(handle, description, first, second, out, out, preference);
        result::destroy_matmul_pref(preference)?;
        Ok(Chosen { description, layouts, algorithm: found?.algo })
    }
}
