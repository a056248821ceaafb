//! Reading tensors by key and shape, with every fault noted instead of the first returned.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
};

use burn::tensor::{DType, Device, Distribution, Tensor, TensorData};
use safetensors::{Dtype, tensor::TensorInfo};

use crate::{
    BasePrecision, Checkpoint, ModelError, WeightFaults,
    frozen::FrozenWeight,
    int8::{INT8_BLOCK, quantised},
    tensor_file::TensorFile,
};

/// Whether tensors are read, or only looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Compare keys and shapes; hand out empty stand-ins.
    Survey,
    /// Read.
    Read,
    /// Make noise of the right size, on the device, and read nothing.
    Noise,
}

/// Bytes that may wait on the host for their way to the device.
const UNDERWAY: u64 = 512 << 20;

/// The keys that were asked for, and how many values the tensor of each should have.
pub(crate) type Asked = BTreeMap<String, usize>;

#[derive(Debug, Default)]
struct Notes {
    faults: WeightFaults,
    asked: Asked,
    /// What ended the reading.
    failure: Option<ModelError>,
}

/// The tensors below one key prefix of a file, or of several that share a model.
pub(crate) struct Weights<'a> {
    files: &'a [Checkpoint],
    prefix: String,
    device: &'a Device,
    /// Where the tensors are used, which may be elsewhere.
    used_on: &'a Device,
    mode: Mode,
    /// What the weights of linear layers are kept in; none means as in the file.
    precision: Option<BasePrecision>,
    notes: Rc<RefCell<Notes>>,
    underway: Rc<Cell<u64>>,
}

/// The bytes of a tensor of a file.
struct Stored {
    bytes: Vec<u8>,
    dtype: DType,
}

impl<'a> Weights<'a> {
    pub(crate) fn root(file: &'a Checkpoint, prefix: &str, device: &'a Device, mode: Mode) -> Self {
        Self::over(std::slice::from_ref(file), prefix, device, mode)
    }

    /// The same for a model whose tensors are spread over several files.
    pub(crate) fn over(files: &'a [Checkpoint], prefix: &str, device: &'a Device, mode: Mode) -> Self {
        Self {
            files,
            prefix: prefix.to_owned(),
            device,
            used_on: device,
            mode,
            precision: None,
            notes: Rc::default(),
            underway: Rc::default(),
        }
    }

    /// Noise in place of a file: what a model of this size costs can be measured without its weights.
    pub(crate) fn noise(device: &'a Device, precision: BasePrecision) -> Self {
        Self::over(&[], "", device, Mode::Noise).kept_in(precision)
    }

    /// A tensor of noise: linear layers keep the size of their input, norms lie around 1, and the rest around 0.
    fn noise_of<const D: usize>(&self, name: &str, shape: [usize; D]) -> Tensor<D> {
        let (mean, spread) = match (D, name) {
            (2, "weight") => (0.0, 1.0 / (shape[1] as f64).sqrt()),
            (1, "weight") => (1.0, 0.1),
            _ => (0.0, 0.1),
        };
        Tensor::random(shape, Distribution::Normal(mean, spread), self.device)
    }

    /// The same, with the weights of linear layers kept in `precision`. Unless told, bf16 stays bf16, of which nothing
    /// is lost, everything else becomes float32, and what is computed is float32 on every device.
    pub(crate) fn kept_in(self, precision: BasePrecision) -> Self {
        Self { precision: Some(precision), ..self }
    }

    /// The same, made on `host` and brought to the device where they are used when their turn comes.
    pub(crate) fn kept_on(self, host: &'a Device) -> Self {
        Self { device: host, ..self }
    }

    /// The tensors below `name`.
    pub(crate) fn at(&self, name: impl std::fmt::Display) -> Self {
        Self {
            prefix: format!("{}{name}.", self.prefix),
            notes: self.notes.clone(),
            underway: self.underway.clone(),
            ..*self
        }
    }

    /// The device that the tensors are made on.
    pub(crate) fn device(&self) -> &'a Device {
        self.device
    }

    /// How the weights are kept.
    pub(crate) fn precision(&self) -> BasePrecision {
        self.precision.unwrap_or(BasePrecision::Float32)
    }

    /// The format of what is computed with these weights.
    pub(crate) fn activations(&self) -> DType {
        self.precision.map_or(DType::F32, |precision| precision.activations(self.used_on))
    }

    /// Tensor `name`, in the format of the activations, which must have exactly `shape`.
    pub(crate) fn tensor<const D: usize>(&self, name: &str, shape: [usize; D]) -> Tensor<D> {
        if self.mode == Mode::Noise {
            return self.noise_of(name, shape).cast(self.activations());
        }
        match self.read(name, &shape, TensorFile::read) {
            Some(stored) => self.upload(stored, shape, self.activations()),
            None => self.stand_in(),
        }
    }

    /// The weight `name` of a linear layer, which must have exactly `shape`.
    pub(crate) fn frozen(&self, name: &str, shape: [usize; 2]) -> FrozenWeight {
        if self.mode == Mode::Noise {
            let dtype = self.precision.map_or(DType::F32, BasePrecision::dense);
            return FrozenWeight::Dense(self.noise_of(name, shape).cast(dtype));
        }
        let as_stored = |stored: &Stored| match stored.dtype {
            DType::BF16 => DType::BF16,
            _ => DType::F32,
        };
        FrozenWeight::Dense(match self.read(name, &shape, TensorFile::read) {
            Some(stored) => {
                let dtype = self.precision.map_or_else(|| as_stored(&stored), BasePrecision::dense);
                self.upload(stored, shape, dtype)
            }
            None => self.stand_in(),
        })
    }

    /// The same of a large layer: 8-bit integers if they are asked for and the rows are whole blocks.
    pub(crate) fn projection(&self, name: &str, shape: [usize; 2]) -> FrozenWeight {
        if self.precision != Some(BasePrecision::Int8) || !shape[1].is_multiple_of(INT8_BLOCK) {
            return self.frozen(name, shape);
        }
        if self.mode == Mode::Noise {
            return FrozenWeight::int8_of(self.noise_of(name, shape));
        }
        match self.read(name, &shape, TensorFile::read) {
            Some(stored) => {
                let weight = quantised(&stored.bytes, stored.dtype, shape[1]);
                self.sends(weight.values.len());
                FrozenWeight::int8(weight, shape, self.device)
            }
            None => FrozenWeight::Dense(self.stand_in()),
        }
    }

    /// The given rows of tensor `name`, in that order, which must have exactly `shape`; no others are read.
    /// Every row must be below `shape[0]`.
    pub(crate) fn rows(&self, name: &str, shape: [usize; 2], rows: &[u32]) -> Tensor<2> {
        let width = |info: &TensorInfo| shape[1] * info.dtype.bitsize() / 8;
        match self.read(name, &shape, |file, info| file.read_rows(info, width(info), rows)) {
            Some(stored) => self.upload(stored, [rows.len(), shape[1]], self.activations()),
            None => self.stand_in(),
        }
    }

    fn stand_in<const D: usize>(&self) -> Tensor<D> {
        Tensor::zeros([1; D], self.device)
    }

    /// Goes to the device as it is in the file, and is converted there.
    fn upload<const D: usize>(&self, stored: Stored, shape: [usize; D], dtype: DType) -> Tensor<D> {
        self.sends(stored.bytes.len());
        let data = TensorData::from_bytes_vec(stored.bytes, shape.to_vec(), stored.dtype);
        Tensor::<D>::from_data(data, (self.device, stored.dtype)).cast(dtype)
    }

    /// Waits for the device where too many bytes are on their way to it.
    fn sends(&self, bytes: usize) {
        let underway = self.underway.get() + bytes as u64;
        if underway < UNDERWAY {
            return self.underway.set(underway);
        }
        // A device that fails says so again where its tensors are used.
        let _ = self.device.sync();
        self.underway.set(bytes as u64);
    }

    /// The shape of tensor `name` where the file, not the configuration, decides it. Zeros if it is missing.
    pub(crate) fn shape_of<const D: usize>(&self, name: &str) -> [usize; D] {
        let found = self.find(&format!("{}{name}", self.prefix));
        found.and_then(|(_, info)| info.shape.as_slice().try_into().ok()).unwrap_or([0; D])
    }

    fn find(&self, key: &str) -> Option<(&'a TensorFile, &'a TensorInfo)> {
        self.files.iter().find_map(|file| file.tensors().info(key).map(|info| (file.tensors(), info)))
    }

    /// What `bytes_of` reads of tensor `name`; nothing in a survey, where there is a fault, and after a failure.
    fn read(
        &self,
        name: &str,
        shape: &[usize],
        bytes_of: impl FnOnce(&TensorFile, &TensorInfo) -> Result<Vec<u8>, ModelError>,
    ) -> Option<Stored> {
        let (file, info, dtype) = self.look(&format!("{}{name}", self.prefix), shape)?;
        let failed = || self.notes.borrow().failure.is_some();
        if self.mode == Mode::Survey || failed() {
            return None;
        }
        match bytes_of(file, info) {
            Ok(bytes) => Some(Stored { bytes, dtype }),
            Err(error) => {
                self.notes.borrow_mut().failure = Some(error);
                None
            }
        }
    }

    fn look(&self, key: &str, shape: &[usize]) -> Option<(&'a TensorFile, &'a TensorInfo, DType)> {
        let mut notes = self.notes.borrow_mut();
        notes.asked.insert(key.to_owned(), shape.iter().product());
        let Some((file, info)) = self.find(key) else {
            notes.faults.missing.push(key.to_owned());
            return None;
        };
        if info.shape != shape {
            notes.faults.wrong_shape.push((key.to_owned(), info.shape.clone(), shape.to_vec()));
            return None;
        }
        let dtype = match info.dtype {
            Dtype::F32 => DType::F32,
            Dtype::BF16 => DType::BF16,
            Dtype::F16 => DType::F16,
            other => {
                notes.faults.wrong_dtype.push((key.to_owned(), format!("{other:?}")));
                return None;
            }
        };
        Some((file, info, dtype))
    }

    /// What ended the reading, if anything did: stand-ins were handed out from there on.
    ///
    /// # Errors
    /// That a file could not be read any more.
    pub(crate) fn sound(&self) -> Result<(), ModelError> {
        self.notes.borrow_mut().failure.take().map_or(Ok(()), Err)
    }

    pub(crate) fn finish(self) -> (WeightFaults, Asked) {
        let notes = self.notes.take();
        (notes.faults, notes.asked)
    }
}
