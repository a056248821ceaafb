//! A mask video brought to its clip's frames.

use ndarray::Array3;
use tensor_batch::FrameList;

use crate::{MaskError, canvas::Canvas};

/// How a mask video was brought to its clip's frame count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeFit {
    /// It has as many frames as its clip.
    Same,
    /// It was shorter: its last frame is held.
    Held {
        /// Frames of the mask.
        mask_frames: u32,
        /// Frames of the clip.
        clip_frames: u32,
    },
    /// It was longer: what lies beyond the clip's last frame is cut, and was not decoded.
    Cut {
        /// Frames of the clip.
        clip_frames: u32,
    },
}

/// Paints the frames of a mask video as the clip takes its own, by index; the last one is held where there are fewer
/// than `clip_frames`.
///
/// A frame is dropped before the next one is asked for: which one will be the last is not known, so what the brush
/// needs of it is kept instead.
pub(crate) fn paint_video<E: From<MaskError>>(
    frames: impl IntoIterator<Item = Result<Array3<u8>, E>>,
    clip_frames: u32,
    list: &FrameList,
    canvas: &mut Canvas<'_>,
) -> Result<TimeFit, E> {
    let mut frames = frames.into_iter().fuse();
    let needed = list.needed();
    let clip_frames = clip_frames.max(needed);
    let mut mask_frames = 0;
    while mask_frames < clip_frames {
        let Some(frame) = frames.next().transpose()? else { break };
        if mask_frames < needed {
            canvas.load_frame(frame.view());
            canvas.paint(|index| index == mask_frames);
        }
        mask_frames += 1;
    }
    if mask_frames == 0 {
        return Err(MaskError::NoFrames.into());
    }
    canvas.paint(|index| index >= mask_frames);
    Ok(match mask_frames < clip_frames {
        true => TimeFit::Held { mask_frames, clip_frames },
        false if frames.next().is_some() => TimeFit::Cut { clip_frames },
        false => TimeFit::Same,
    })
}
