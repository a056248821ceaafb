//! Completed steps become units and a price.
//!
//! Only a finished training costs anything: [`CompletedSteps::finished`] is called where training returns its
//! result, and everything else (a check, a rejection, a failure, an interruption) is [`CompletedSteps::NONE`].
//!
//! ```
//! use billing::{CompletedSteps, estimate};
//!
//! let shown_before = estimate(2000);
//! let charged_after = CompletedSteps::finished(2000).units();
//! assert_eq!(shown_before, charged_after);
//! assert_eq!(charged_after.price().to_string(), "$4.80");
//! assert_eq!(CompletedSteps::NONE.units().get(), 0);
//! ```
#![forbid(unsafe_code)]

use std::fmt;

/// The least number of units that a finished training costs.
pub const MINIMUM_UNITS: u32 = 100;
/// What one unit costs, in micro-dollars.
pub const MICRO_DOLLARS_PER_UNIT: u64 = 2400;

const MICROS: u64 = 1_000_000;

/// Optimiser steps of a training that came to its end; none for everything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CompletedSteps(u32);

impl CompletedSteps {
    /// What a check, a rejection, a failure and an interruption have completed.
    pub const NONE: Self = Self(0);

    /// The steps of a training that finished, all of them.
    pub const fn finished(steps: u32) -> Self {
        Self(steps)
    }

    /// What these steps cost: 0 for none, otherwise one unit a step and at least [`MINIMUM_UNITS`].
    ///
    /// ```
    /// use billing::CompletedSteps;
    ///
    /// assert_eq!(CompletedSteps::finished(1).units().get(), 100);
    /// assert_eq!(CompletedSteps::finished(101).units().get(), 101);
    /// ```
    pub const fn units(self) -> Units {
        match self.0 {
            0 => Units(0),
            steps if steps < MINIMUM_UNITS => Units(MINIMUM_UNITS),
            steps => Units(steps),
        }
    }
}

/// What a training of `steps` steps will cost if it finishes.
///
/// ```
/// assert_eq!(billing::estimate(150).get(), 150);
/// ```
pub const fn estimate(steps: u32) -> Units {
    CompletedSteps::finished(steps).units()
}

/// What is billed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Units(u32);

impl Units {
    /// The number of units.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// [`MICRO_DOLLARS_PER_UNIT`] for each unit. It cannot overflow: a `u32` of units is less than 2^44
    /// micro-dollars.
    pub const fn price(self) -> Price {
        Price(self.0 as u64 * MICRO_DOLLARS_PER_UNIT)
    }
}

impl fmt::Display for Units {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A price in exact micro-dollars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Price(u64);

impl Price {
    /// Millionths of a dollar.
    pub const fn micro_dollars(self) -> u64 {
        self.0
    }
}

/// Dollars with every significant digit, and at least two decimals.
///
/// ```
/// assert_eq!(billing::estimate(101).price().to_string(), "$0.2424");
/// ```
impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = format!("{:06}", self.0 % MICROS);
        let (cents, rest) = micros.split_at(2);
        write!(f, "${}.{cents}{}", self.0 / MICROS, rest.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finished_training_costs_its_steps_and_at_least_the_minimum() {
        for (steps, units) in [(0, 0), (1, 100), (99, 100), (100, 100), (101, 101), (20_000, 20_000)] {
            assert_eq!(CompletedSteps::finished(steps).units().get(), units, "{steps} steps");
        }
    }

    #[test]
    fn what_did_not_finish_costs_nothing() {
        assert_eq!(CompletedSteps::NONE, CompletedSteps::default());
        assert_eq!(CompletedSteps::NONE.units().price().to_string(), "$0.00");
    }

    #[test]
    fn prices_are_exact_and_show_every_digit() {
        let shown = [
            (0, "$0.00"),
            (1, "$0.000001"),
            (2400, "$0.0024"),
            (500_000, "$0.50"),
            (4_800_000, "$4.80"),
            (1_234_567_890, "$1234.56789"),
        ];
        for (micros, dollars) in shown {
            assert_eq!(Price(micros).to_string(), dollars);
        }
    }

    #[test]
    fn the_largest_number_of_steps_does_not_overflow() {
        let widest = u128::from(u32::MAX) * u128::from(MICRO_DOLLARS_PER_UNIT);
        assert_eq!(u128::from(estimate(u32::MAX).price().micro_dollars()), widest);
        assert!(widest < 1 << 44);
    }
}
