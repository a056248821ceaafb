//! Golden numbers: what the reference computed, and whether ours agrees.
//!
//! A folder of golden numbers has an `index.json`, which names the cases, their kinds, parameters and tolerances,
//! and one file a case, which holds inputs and outputs. [`Table::of`] walks it. A [`Kind`] is a function that takes
//! a [`Case`], computes what the case describes, and returns the outputs as [`Produced`] under the names that they
//! have in the file; the comparison is not its business. To add one, write the function in the file of its folder
//! and name it in the list at the top of that file:
//!
//! ```
//! use tests::golden::{Case, KindResult, Produced};
//!
//! fn doubled(case: &Case) -> KindResult {
//!     let (input, shape) = case.tensor_f32("input")?;
//!     let factor = case.params()["factor"].as_f64().unwrap_or(2.0) as f32;
//!     let output: Vec<f32> = input.iter().map(|x| x * factor).collect();
//!     Ok(vec![Produced::f32("output", output, shape)])
//! }
//! ```

mod case;
mod compare;
mod error;
mod folder;
mod kind;
mod metric;
#[cfg(feature = "video")]
mod preprocess;
mod sampling;
mod setting;
mod table;
mod tensor;
mod text;
mod tolerance;
mod training;
mod transformer;
mod vae;

pub use case::Case;
pub use compare::Comparison;
pub use error::GoldenError;
pub use folder::Folder;
pub use kind::{Kind, KindResult, Produced, Run};
pub use metric::Metric;
pub use setting::Setting;
pub use table::{Row, Table};
pub use tensor::{Tensor, Values};
pub use tolerance::{Limit, Rule, Tolerance};
pub use transformer::rounded_kinds;

/// Every kind of golden case that is known, implemented or not, in the order of the table.
pub fn kinds() -> Vec<Kind> {
    [
        transformer::KINDS,
        vae::KINDS,
        text::KINDS,
        #[cfg(feature = "video")]
        preprocess::KINDS,
    ]
    .concat()
}
