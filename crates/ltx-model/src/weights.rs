//! Reading tensors by key and shape, with every fault noted instead of the first returned.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
};

use burn::tensor::{DType, Device, Distribution, Tensor, TensorData};
use rayon::prelude::*;
use safetensors::{Dtype, tensor::TensorInfo};

use crate::{
    BasePrecision, Checkpoint, ModelError, WeightFaults,
    cpu::tensor::on_cpu,
    frozen::FrozenWeight,
    host_buffer::zeros,
    hosted::waiting,
    int8::{INT8_BLOCK, Quantised, Rows},
    tensor_file::TensorFile,
    widen::widen,
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

/// A tensor of a file.
#[derive(Clone, Copy)]
struct Stored<'a> {
    file: &'a TensorFile,
    info: &'a TensorInfo,
    dtype: DType,
}

impl Stored<'_> {
    /// Its values, for a `device` where they are made `kept`. What widens for the CPU is widened while it is read.
    fn data(self, kept: DType, device: &Device) -> Result<TensorData, ModelError> {
        let shape = self.info.shape.clone();
        if kept == DType::F32 && self.dtype != kept && on_cpu(device) {
            return self.widened().map(|values| TensorData::new(values, shape));
        }
        self.file.read(self.info).map(|bytes| TensorData::from_bytes(bytes, shape, self.dtype))
    }

    fn widened(self) -> Result<Vec<f32>, ModelError> {
        let mut values = zeros(self.info.shape.iter().product());
        let convert = |bytes: &[u8], values: &mut [f32]| widen(bytes, self.dtype, values);
        self.file.convert(self.info, self.dtype.size(), |count| values.par_chunks_mut(count), convert)?;
        Ok(values)
    }

    /// Its values of `inputs` columns as 8-bit integers.
    fn quantised(self, inputs: usize) -> Result<Quantised, ModelError> {
        let mut weight = Quantised::zeros(self.info.shape.iter().product());
        let width = inputs * self.dtype.size();
        let quantise = |bytes: &[u8], rows: Rows<'_>| rows.quantise(bytes, self.dtype);
        self.file.convert(self.info, width, |rows| weight.split(rows, inputs), quantise)?;
        Ok(weight)
    }
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

    /// A tensor of noise, made where it is used: linear layers keep the size of their input, norms lie around 1, and the
    /// rest around 0.
    fn noise_of<const D: usize>(&self, name: &str, shape: [usize; D]) -> Tensor<D> {
        let (mean, spread) = match (D, name) {
            (2, "weight") => (0.0, 1.0 / (shape[1] as f64).sqrt()),
            (1, "weight") => (1.0, 0.1),
            _ => (0.0, 0.1),
        };
        Tensor::random(shape, Distribution::Normal(mean, spread), self.used_on)
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
            return self.kept(self.noise_of(name, shape).cast(self.activations()));
        }
        self.floats(name, shape, |_| self.activations())
    }

    /// Zeros in the format of the activations.
    pub(crate) fn zeros(&self, length: usize) -> Tensor<1> {
        self.kept(Tensor::zeros([length], (self.used_on, self.activations())))
    }

    /// The weight `name` of a linear layer, which must have exactly `shape`.
    pub(crate) fn frozen(&self, name: &str, shape: [usize; 2]) -> FrozenWeight {
        if self.mode == Mode::Noise {
            let dtype = self.precision.map_or(DType::F32, BasePrecision::dense);
            return FrozenWeight::Dense(self.kept(self.noise_of(name, shape).cast(dtype)));
        }
        let as_stored = |stored| match stored {
            DType::BF16 => DType::BF16,
            _ => DType::F32,
        };
        let kept = |stored| self.precision.map_or_else(|| as_stored(stored), BasePrecision::dense);
        FrozenWeight::Dense(self.floats(name, shape, kept))
    }

    /// The same of a large layer: 8-bit integers if they are asked for and the rows are whole blocks.
    pub(crate) fn projection(&self, name: &str, shape: [usize; 2]) -> FrozenWeight {
        if self.precision != Some(BasePrecision::Int8) || !shape[1].is_multiple_of(INT8_BLOCK) {
            return self.frozen(name, shape);
        }
        if self.mode == Mode::Noise {
            let weight = FrozenWeight::int8_of(self.noise_of(name, shape));
            return if self.is_hosted() { weight.on(self.device).waiting_for(self.used_on) } else { weight };
        }
        match self.read(name, &shape, |stored| stored.quantised(shape[1])) {
            Some(weight) => {
                self.sends(weight.values.len());
                let weight = FrozenWeight::int8(weight, shape, self.device);
                if self.is_hosted() { weight.waiting_for(self.used_on) } else { weight }
            }
            None => FrozenWeight::Dense(self.stand_in()),
        }
    }

    /// The given rows of tensor `name`, in that order, which must have exactly `shape`; no others are read.
    /// Every row must be below `shape[0]`.
    pub(crate) fn rows(&self, name: &str, shape: [usize; 2], rows: &[u32]) -> Tensor<2> {
        let read = |stored: Stored<'_>| {
            let bytes = stored.file.read_rows(stored.info, shape[1] * stored.dtype.size(), rows)?;
            Ok(TensorData::from_bytes(bytes, [rows.len(), shape[1]], stored.dtype))
        };
        match self.read(name, &shape, read) {
            Some(data) => self.upload(data, self.activations()),
            None => self.stand_in(),
        }
    }

    fn stand_in<const D: usize>(&self) -> Tensor<D> {
        Tensor::zeros([1; D], self.device)
    }

    /// Tensor `name` in the number type that `kept` makes of the file's.
    fn floats<const D: usize>(
        &self,
        name: &str,
        shape: [usize; D],
        kept: impl Fn(DType) -> DType,
    ) -> Tensor<D> {
        let read = |stored: Stored<'_>| {
            let kept = kept(stored.dtype);
            stored.data(kept, self.device).map(|data| (data, kept))
        };
        match self.read(name, &shape, read) {
            Some((data, kept)) => self.upload(data, kept),
            None => self.stand_in(),
        }
    }

    /// Goes to the device as it is, and is converted there.
    fn upload<const D: usize>(&self, data: TensorData, dtype: DType) -> Tensor<D> {
        self.sends(data.as_bytes().len());
        let stored = data.dtype();
        self.kept(Tensor::<D>::from_data(data, (self.device, stored)).cast(dtype))
    }

    /// Whether the tensors wait elsewhere than where they are used.
    fn is_hosted(&self) -> bool {
        self.device != self.used_on
    }

    /// `tensor` where it is kept.
    fn kept<const D: usize>(&self, tensor: Tensor<D>) -> Tensor<D> {
        if self.is_hosted() { waiting(tensor.to_device(self.device), self.used_on) } else { tensor }
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

    /// What `take` makes of tensor `name`; nothing in a survey, where there is a fault, and after a failure.
    fn read<T>(
        &self,
        name: &str,
        shape: &[usize],
        take: impl FnOnce(Stored<'a>) -> Result<T, ModelError>,
    ) -> Option<T> {
        let stored = self.look(&format!("{}{name}", self.prefix), shape)?;
        let failed = || self.notes.borrow().failure.is_some();
        if self.mode == Mode::Survey || failed() {
            return None;
        }
        take(stored).map_err(|error| self.notes.borrow_mut().failure = Some(error)).ok()
    }

    fn look(&self, key: &str, shape: &[usize]) -> Option<Stored<'a>> {
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
        Some(Stored { file, info, dtype })
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
