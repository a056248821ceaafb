//! An archive of clips, masks and captions becomes examples.
