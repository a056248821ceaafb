//! What comes with the program: the tiny model and the demo dataset.

use std::{
    env,
    path::{Path, PathBuf},
};

const TINY: &str = "tiny/tiny-ltx-2.3.safetensors";
const GEMMA: &str = "tiny/gemma";
const DEMO: &str = "demo/demo.zip";

/// The folder `assets`.
#[derive(Debug)]
pub(crate) struct Assets(PathBuf);

impl Assets {
    /// `$INPAINT_ASSETS`; else the first `assets/tiny` beside the binary or in a folder above it; else the workspace
    /// that the binary was built in.
    ///
    /// # Errors
    /// A message with this rule and the places that were looked at.
    pub(crate) fn find() -> Result<Self, String> {
        if let Some(folder) = env::var_os("INPAINT_ASSETS") {
            return Ok(Self(folder.into()));
        }
        let binary = env::current_exe().and_then(|path| path.canonicalize()).unwrap_or_default();
        let above = binary.ancestors().skip(1).map(|folder| folder.join("assets"));
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets");
        let mut places = above.chain([workspace]);
        places.find(|assets| assets.join(TINY).is_file()).map(Self).ok_or_else(|| {
            format!(
                "the tiny model is not here: expected `assets/{TINY}` beside {} or in a folder above it; set \
                 INPAINT_ASSETS to the folder `assets`, or give --model, --text-encoder and --dataset",
                binary.display()
            )
        })
    }

    pub(crate) fn checkpoint(&self) -> PathBuf {
        self.0.join(TINY)
    }

    pub(crate) fn text_encoder(&self) -> PathBuf {
        self.0.join(GEMMA)
    }

    /// The demo dataset.
    ///
    /// # Errors
    /// A message if it is missing.
    pub(crate) fn demo(&self) -> Result<PathBuf, String> {
        let demo = self.0.join(DEMO);
        if demo.is_file() {
            return Ok(demo);
        }
        Err(format!("the demo dataset is not here: expected {}; give --dataset", demo.display()))
    }
}
