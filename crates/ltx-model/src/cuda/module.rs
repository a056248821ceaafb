//! Kernels: their text compiled for a device, loaded, and launched.

use std::{
    collections::HashMap,
    ffi::{CStr, CString, c_char, c_void},
};

use cudarc::{
    driver::{
        result,
        sys::{CUfunction, CUfunction_attribute, CUmodule, CUstream, CUtensorMap},
    },
    nvrtc,
};

use super::CudaError;

/// A file of kernels on a device.
#[derive(Debug)]
pub(crate) struct Module {
    module: CUmodule,
    functions: HashMap<&'static str, CUfunction>,
}

/// One argument of a kernel.
#[derive(Debug)]
pub(crate) enum Arg {
    /// A device's address; 0 is none.
    Address(u64),
    /// An `int`.
    Int(i32),
    /// A `u64`.
    Long(u64),
    /// A `float`.
    Float(f32),
    /// A tensor for the copy engine.
    Map(Box<CUtensorMap>),
}

impl Arg {
    fn place(&mut self) -> *mut c_void {
        match self {
            Self::Address(x) | Self::Long(x) => std::ptr::from_mut(x).cast(),
            Self::Int(x) => std::ptr::from_mut(x).cast(),
            Self::Float(x) => std::ptr::from_mut(x).cast(),
            Self::Map(x) => std::ptr::from_mut(&mut **x).cast(),
        }
    }
}

/// How a kernel is spread over the device.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    /// Thread blocks.
    pub(crate) blocks: (u32, u32, u32),
    /// Threads of a block.
    pub(crate) threads: u32,
    /// Dynamic shared memory of a block, bytes.
    pub(crate) shared: u32,
}

impl Module {
    /// Compiles `text` for `target`, such as `sm_90a`, and loads it into the current context.
    pub(crate) fn new(name: &'static str, text: &str, target: &str) -> Result<Self, CudaError> {
        let binary = compile(name, text, target)?;
        // SAFETY: the binary is what NVRTC made, and is read during the call only.
        let module = unsafe { result::module::load_data(binary.as_ptr().cast()) }
            .map_err(CudaError::driver("cuModuleLoadData"))?;
        Ok(Self { module, functions: HashMap::new() })
    }

    /// Puts a kernel into `stream`.
    ///
    /// # Safety
    /// The arguments must be those of the kernel, in order, and the addresses those of memory that it may use.
    pub(crate) unsafe fn launch(
        &mut self,
        name: &'static str,
        spread: Spread,
        stream: CUstream,
        args: &mut [Arg],
    ) -> Result<(), CudaError> {
        let function = self.function(name, spread.shared)?;
        let mut places: Vec<*mut c_void> = args.iter_mut().map(Arg::place).collect();
        // SAFETY: the caller's, for the arguments; function and stream belong to the current context.
        unsafe {
            result::launch_kernel(
                function,
                spread.blocks,
                (spread.threads, 1, 1),
                spread.shared,
                stream,
                &mut places,
            )
        }
        .map_err(CudaError::driver("cuLaunchKernel"))
    }

    fn function(&mut self, name: &'static str, shared: u32) -> Result<CUfunction, CudaError> {
        if let Some(function) = self.functions.get(name) {
            return Ok(*function);
        }
        let symbol = CString::new(name).unwrap_or_default();
        // SAFETY: the module is loaded and never unloaded.
        let function = unsafe { result::module::get_function(self.module, symbol) }
            .map_err(CudaError::driver("cuModuleGetFunction"))?;
        let attribute = CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        // SAFETY: the function was just found.
        unsafe { result::function::set_function_attribute(function, attribute, shared as i32) }
            .map_err(CudaError::driver("cuFuncSetAttribute"))?;
        self.functions.insert(name, function);
        Ok(function)
    }
}

/// The machine code of `text`.
fn compile(name: &'static str, text: &str, target: &str) -> Result<Vec<u8>, CudaError> {
    let text = CString::new(text).unwrap_or_default();
    let failed = |source, log| CudaError::Compile { name, target: target.to_owned(), source, log };
    let program = nvrtc::result::create_program(&text, None).map_err(|e| failed(e, String::new()))?;
    let options = [format!("--gpu-architecture={target}"), "--std=c++17".to_owned()];
    // SAFETY: the program was just made, and is destroyed once, below.
    let binary = unsafe {
        match nvrtc::result::compile_program(program, &options) {
            Ok(()) => machine_code(program).map_err(|e| failed(e, String::new())),
            Err(e) => Err(failed(e, log(program))),
        }
    };
    // SAFETY: as above. A program that cannot be destroyed costs some memory.
    let _ = unsafe { nvrtc::result::destroy_program(program) };
    binary
}

/// # Safety
/// The program must be compiled for a real architecture.
unsafe fn machine_code(program: nvrtc::sys::nvrtcProgram) -> Result<Vec<u8>, nvrtc::result::NvrtcError> {
    let mut size = 0;
    // SAFETY: the caller's; the buffer is as large as NVRTC asks for.
    unsafe {
        nvrtc::sys::nvrtcGetCUBINSize(program, &raw mut size).result()?;
        let mut binary = vec![0u8; size];
        nvrtc::sys::nvrtcGetCUBIN(program, binary.as_mut_ptr().cast::<c_char>()).result()?;
        Ok(binary)
    }
}

/// # Safety
/// The program must exist.
unsafe fn log(program: nvrtc::sys::nvrtcProgram) -> String {
    // SAFETY: the caller's; the log ends with a zero.
    unsafe {
        match nvrtc::result::get_program_log(program) {
            Ok(log) if !log.is_empty() => CStr::from_ptr(log.as_ptr()).to_string_lossy().into_owned(),
            _ => String::new(),
        }
    }
}
