//! LTX-2.3, video stream: transformer, video VAE, text encoder and checkpoint files, on burn.
