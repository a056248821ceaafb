//! Any mask becomes an edit mask on its clip's grid, then a latent mask.
