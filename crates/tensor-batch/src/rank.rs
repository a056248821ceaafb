//! The rank of a LoRA.

use std::fmt;

use crate::OutOfRange;

/// The rank of a LoRA: the ones that the service offers, and no others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the names are the documentation")]
pub enum Rank {
    R8,
    R16,
    R32,
    R64,
    R128,
}

impl Rank {
    /// All ranks, ascending.
    pub const ALL: [Self; 5] = [Self::R8, Self::R16, Self::R32, Self::R64, Self::R128];

    /// The rank as a number.
    pub fn get(self) -> usize {
        match self {
            Self::R8 => 8,
            Self::R16 => 16,
            Self::R32 => 32,
            Self::R64 => 64,
            Self::R128 => 128,
        }
    }
}

impl TryFrom<u64> for Rank {
    type Error = OutOfRange;

    fn try_from(rank: u64) -> Result<Self, OutOfRange> {
        Self::ALL
            .into_iter()
            .find(|known| known.get() as u64 == rank)
            .ok_or_else(|| OutOfRange::new("rank", rank, "8, 16, 32, 64 or 128"))
    }
}

impl fmt::Display for Rank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}
