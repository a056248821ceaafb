//! What mutations start from: files of this package.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use zip::ZipArchive;

/// Pictures of kinds that no encoder here writes.
pub(crate) const JPEGS: [&[u8]; 4] = [
    include_bytes!("seeds/progressive.jpg"),
    include_bytes!("seeds/grey-progressive.jpg"),
    include_bytes!("seeds/restarts.jpg"),
    include_bytes!("seeds/cmyk.jpg"),
];
/// The same for WebP.
pub(crate) const WEBPS: [&[u8]; 4] = [
    include_bytes!("seeds/lossy.webp"),
    include_bytes!("seeds/lossy-alpha.webp"),
    include_bytes!("seeds/lossless.webp"),
    include_bytes!("seeds/animated.webp"),
];

/// A sample clip, or one of its masks.
pub(crate) fn clip(name: &str) -> io::Result<Vec<u8>> {
    read(Path::new("clips").join(name).as_ref())
}

/// A file of one of the archives beside the sample clips.
pub(crate) fn member(archive: &str, name: &str) -> io::Result<Vec<u8>> {
    let bytes = read(Path::new("bad-inputs").join(archive).as_ref())?;
    let mut content = Vec::new();
    ZipArchive::new(io::Cursor::new(bytes))?.by_name(name)?.read_to_end(&mut content)?;
    Ok(content)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read(&path).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}
