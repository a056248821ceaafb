//! Latent examples become a LoRA, on burn.
