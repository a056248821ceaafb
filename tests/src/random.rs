//! Draws that are a function of (seed, target, case), so that any case can be made again by itself.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

/// Numbers at which programs like to fail.
const EDGES: [u64; 20] = [
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    16,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0x8000,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 32,
    i64::MAX as u64,
    u64::MAX,
];

/// The draws of one case.
#[derive(Debug, Clone)]
pub(crate) struct Random(ChaCha8Rng);

impl Random {
    /// The draws of `case`. Targets have different draws, also where one name begins with the other.
    pub(crate) fn new(seed: u64, target: &str, case: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..].iter_mut().zip(target.bytes()).for_each(|(to, from)| *to = from);
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(case);
        Self(rng)
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// 0 to `n` - 1; 0 if `n` is 0.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.bits() % (n.max(1) as u64)) as usize
    }

    /// Small numbers are as likely as large ones: 1 to `n`, at least 1.
    pub(crate) fn few(&mut self, n: usize) -> usize {
        let bound = self.below(n) + 1;
        self.below(bound) + 1
    }

    /// The same, but in so many percent of cases up to `many`.
    pub(crate) fn few_or_many(&mut self, n: usize, percent: usize, many: usize) -> usize {
        let bound = if self.chance(percent) { many } else { n };
        self.few(bound)
    }

    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<T: Copy, const N: usize>(&mut self, of: &[T; N]) -> T {
        of[self.below(N)]
    }

    /// One of a list that may be empty.
    pub(crate) fn pick_of<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.below(of.len()))
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    /// A number of `width` bytes, often one at an edge.
    pub(crate) fn number(&mut self, width: usize) -> u64 {
        let edge = self.pick(&EDGES);
        let number = match self.below(4) {
            0 => self.bits(),
            1 => edge.wrapping_sub(1),
            _ => edge,
        };
        clipped(number, width)
    }

    /// What a field of `width` bytes that holds `value` may be changed to.
    pub(crate) fn change(&mut self, value: u64, width: usize) -> u64 {
        let changed = match self.below(6) {
            0 => value ^ 1 << self.below(8 * width),
            1 => value.wrapping_add(self.few(16) as u64),
            2 => value.wrapping_sub(self.few(16) as u64),
            3 => value.wrapping_mul(self.few(300) as u64),
            _ => self.number(width),
        };
        clipped(changed, width)
    }
}

/// The lowest `width` bytes of a number.
pub(crate) fn clipped(number: u64, width: usize) -> u64 {
    if width >= 8 { number } else { number & ((1 << (8 * width)) - 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_has_draws_of_its_own_that_can_be_had_again() {
        let draws = |seed, target, case| Random::new(seed, target, case).bytes(32);
        assert_eq!(draws(1, "image", 7), draws(1, "image", 7));
        for other in [draws(2, "image", 7), draws(1, "images", 7), draws(1, "image", 8)] {
            assert_ne!(draws(1, "image", 7), other);
        }
    }

    #[test]
    fn draws_stay_in_their_range_and_reach_its_ends() {
        let mut random = Random::new(0, "", 0);
        let mut seen = [false; 5];
        for _ in 0..500 {
            seen[random.below(5)] = true;
            assert!((1..=9).contains(&random.few(9)));
            assert!(random.number(2) <= 0xffff);
            assert!(random.change(0xffff, 2) <= 0xffff);
        }
        assert_eq!(seen, [true; 5]);
        assert_eq!((random.below(0), random.few(0)), (0, 1));
        assert_eq!((clipped(0x1234, 1), clipped(u64::MAX, 8)), (0x34, u64::MAX));
    }
}
