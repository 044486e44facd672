//! From registers to the number of elements: Ertl's estimator, which needs only how many registers have which value.
//!
//! Every operation on doubles is in the order in which Redis does it: the numbers come out equal, not only alike.

use super::{COUNTED_BITS, REGISTERS};

/// 1 / (2 ln 2), the limit of the estimator's constant for many registers.
const ALPHA: f64 = 0.721_347_520_444_481_7;

/// The value of a register whose hash had no bit set.
const LARGEST: usize = COUNTED_BITS as usize + 1;

/// How many registers have each value. Six bits can say more than a hash can.
#[derive(Debug, Clone)]
pub(super) struct Histogram([u32; 64]);

impl Default for Histogram {
    fn default() -> Self {
        Histogram([0; 64])
    }
}

impl Histogram {
    #[inline]
    pub(super) fn add(&mut self, value: u8, registers: u32) {
        self.0[usize::from(value & 63)] += registers;
    }

    pub(super) fn estimate(&self) -> u64 {
        let registers = f64::from(u32::try_from(REGISTERS).expect("14 bits"));
        let mut z = registers * tau((registers - f64::from(self.0[LARGEST])) / registers);
        for &count in self.0[1..LARGEST].iter().rev() {
            z += f64::from(count);
            z *= 0.5;
        }
        z += registers * sigma(f64::from(self.0[0]) / registers);
        whole((ALPHA * registers * registers / z).round())
    }
}

/// What does not fit into a signed integer of 64 bits, as registers that somebody made up may yield, is what x86 makes
/// of it.
fn whole(estimate: f64) -> u64 {
    const TOO_LARGE: f64 = 9_223_372_036_854_775_808.0;
    if estimate < TOO_LARGE {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a whole number from 0 to 2^63"
        )]
        let whole = estimate as u64;
        whole
    } else {
        1 << 63
    }
}

/// x + the sum of x^(2^k) 2^(k-1): the share of the registers that are 0.
fn sigma(mut x: f64) -> f64 {
    // More than 1 in strings that somebody made up.
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if before == z {
            return z;
        }
    }
}

/// A third of 1 - x - the sum of (1 - x^(2^-k))^2 2^-k: the share of the registers that are not [`LARGEST`].
fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        let rest = 1.0 - x;
        z -= rest * rest * y;
        if before == z {
            return z / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_registers_that_anybody_can_make_up_keep_it_from_an_end() {
        let registers = u32::try_from(REGISTERS).unwrap();
        for value in 0..64 {
            for share in [0, 1, 100, registers - 1, registers] {
                for other in [0, 1, 20, 50, 51, 63] {
                    let mut histogram = Histogram::default();
                    histogram.add(value, share);
                    histogram.add(other, registers - share);
                    histogram.estimate();
                }
            }
        }
    }

    #[test]
    fn all_zero_is_nothing_and_all_full_is_too_much() {
        let all = |value| {
            let mut histogram = Histogram::default();
            histogram.add(value, u32::try_from(REGISTERS).unwrap());
            histogram.estimate()
        };
        assert_eq!(all(0), 0);
        assert_eq!(all(51), 1 << 63);
        assert_eq!(all(63), 1 << 63);
        assert!((10_000..30_000).contains(&all(1)));
    }
}
