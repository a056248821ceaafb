//! Any clip becomes frames in the bucket, and frames become mp4.
