//! Reading tensors by key and shape, with every fault noted instead of the first returned.

use std::{cell::RefCell, collections::BTreeSet, rc::Rc};

use burn::tensor::{DType, Device, Tensor, TensorData};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::WeightFaults;

/// Whether tensors are read, or only looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Compare keys and shapes; hand out empty stand-ins.
    Survey,
    /// Read.
    Read,
}

#[derive(Debug, Default)]
struct Notes {
    faults: WeightFaults,
    asked: BTreeSet<String>,
}

/// The tensors below one key prefix of a file, or of several that share a model.
pub(crate) struct Weights<'a> {
    files: &'a [SafeTensors<'a>],
    prefix: String,
    device: &'a Device,
    mode: Mode,
    notes: Rc<RefCell<Notes>>,
}

impl<'a> Weights<'a> {
    pub(crate) fn root(file: &'a SafeTensors<'a>, prefix: &str, device: &'a Device, mode: Mode) -> Self {
        Self::over(std::slice::from_ref(file), prefix, device, mode)
    }

    /// The same for a model whose tensors are spread over several files.
    pub(crate) fn over(files: &'a [SafeTensors<'a>], prefix: &str, device: &'a Device, mode: Mode) -> Self {
        Self { files, prefix: prefix.to_owned(), device, mode, notes: Rc::default() }
    }

    /// The tensors below `name`.
    pub(crate) fn at(&self, name: impl std::fmt::Display) -> Self {
        Self { prefix: format!("{}{name}.", self.prefix), notes: self.notes.clone(), ..*self }
    }

    /// The device that the tensors are made on.
    pub(crate) fn device(&self) -> &'a Device {
        self.device
    }

    /// Tensor `name`, as float32, which must have exactly `shape`.
    pub(crate) fn tensor<const D: usize>(&self, name: &str, shape: [usize; D]) -> Tensor<D> {
        let key = format!("{}{name}", self.prefix);
        match self.look(&key, &shape) {
            Some((view, dtype)) if self.mode == Mode::Read => self.upload(view.data().to_vec(), shape, dtype),
            _ => Tensor::zeros([1; D], self.device),
        }
    }

    /// The given rows of tensor `name`, in that order, which must have exactly `shape`; no others are read.
    /// Every row must be below `shape[0]`.
    pub(crate) fn rows(&self, name: &str, shape: [usize; 2], rows: &[u32]) -> Tensor<2> {
        let key = format!("{}{name}", self.prefix);
        match self.look(&key, &shape) {
            Some((view, dtype)) if self.mode == Mode::Read => {
                let bytes = shape[1] * dtype.size();
                let row = |row: &u32| &view.data()[*row as usize * bytes..][..bytes];
                self.upload(rows.iter().flat_map(row).copied().collect(), [rows.len(), shape[1]], dtype)
            }
            _ => Tensor::zeros([1; 2], self.device),
        }
    }

    fn upload<const D: usize>(&self, bytes: Vec<u8>, shape: [usize; D], dtype: DType) -> Tensor<D> {
        let data = TensorData::from_bytes_vec(bytes, shape.to_vec(), dtype);
        Tensor::<D>::from_data(data, (self.device, dtype)).cast(DType::F32)
    }

    /// The shape of tensor `name` where the file, not the configuration, decides it. Zeros if it is missing.
    pub(crate) fn shape_of<const D: usize>(&self, name: &str) -> [usize; D] {
        let found = self.view(&format!("{}{name}", self.prefix));
        found.and_then(|view| view.shape().try_into().ok()).unwrap_or([0; D])
    }

    fn view(&self, key: &str) -> Option<TensorView<'a>> {
        self.files.iter().find_map(|file| file.tensor(key).ok())
    }

    fn look(&self, key: &str, shape: &[usize]) -> Option<(TensorView<'a>, DType)> {
        let mut notes = self.notes.borrow_mut();
        notes.asked.insert(key.to_owned());
        let Some(view) = self.view(key) else {
            notes.faults.missing.push(key.to_owned());
            return None;
        };
        if view.shape() != shape {
            notes.faults.wrong_shape.push((key.to_owned(), view.shape().to_vec(), shape.to_vec()));
            return None;
        }
        let dtype = match view.dtype() {
            Dtype::F32 => DType::F32,
            Dtype::BF16 => DType::BF16,
            Dtype::F16 => DType::F16,
            other => {
                notes.faults.wrong_dtype.push((key.to_owned(), format!("{other:?}")));
                return None;
            }
        };
        Some((view, dtype))
    }

    pub(crate) fn finish(self) -> (WeightFaults, BTreeSet<String>) {
        let notes = self.notes.take();
        (notes.faults, notes.asked)
    }
}
