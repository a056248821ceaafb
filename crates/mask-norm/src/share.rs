//! How much white makes white.

/// How much of a footprint, or of a cell, must be white for it to be white.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Share {
    /// Any of it.
    Any,
    /// At least half.
    Half,
}

impl Share {
    /// Whether `white` of `whole` is enough.
    pub(crate) fn is_met(self, white: u64, whole: u64) -> bool {
        match self {
            Self::Any => white > 0,
            Self::Half => white >= whole - white,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_half_is_half() {
        for (white, whole, any, half) in [
            (0, 9, false, false),
            (1, 9, true, false),
            (4, 9, true, false),
            (5, 9, true, true),
            (4, 8, true, true),
        ] {
            assert_eq!((Share::Any.is_met(white, whole), Share::Half.is_met(white, whole)), (any, half));
        }
    }
}
