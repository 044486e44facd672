//! Natural numbers of any size: just enough to read and print floating point digits exactly.

use std::ops::Shl;

/// Digits to the base 2^32, the lowest first, without zeros on top.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Big(Vec<u32>);

const LIMB: u32 = u32::BITS;
const CHUNK: u32 = 1_000_000_000;
const CHUNK_DIGITS: usize = 9;

impl From<u64> for Big {
    fn from(value: u64) -> Self {
        let mut big = Big(vec![low(u128::from(value)), low(u128::from(value >> LIMB))]);
        big.trim();
        big
    }
}

impl Shl<u32> for Big {
    type Output = Big;

    fn shl(self, shift: u32) -> Big {
        let mut limbs = vec![0; (shift / LIMB) as usize];
        let mut carry = 0;
        for limb in self.0 {
            let shifted = u64::from(limb) << (shift % LIMB);
            limbs.push(low(u128::from(shifted)) | carry);
            carry = low(u128::from(shifted >> LIMB));
        }
        limbs.push(carry);
        let mut big = Big(limbs);
        big.trim();
        big
    }
}

impl Big {
    pub(super) fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    /// Length in bits; 0 for zero.
    pub(super) fn bits(&self) -> u32 {
        let Some(top) = self.0.last() else { return 0 };
        let limbs = u32::try_from(self.0.len()).expect("numbers have few digits");
        limbs * LIMB - top.leading_zeros()
    }

    pub(super) fn from_decimal(digits: &[u8]) -> Big {
        let mut big = Big(Vec::new());
        for chunk in digits.chunks(CHUNK_DIGITS) {
            let number = chunk.iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0'));
            big.multiply_add(chunk.iter().fold(1, |power, _| power * 10), number);
        }
        big
    }

    pub(super) fn multiply_by_power_of_ten(&mut self, mut exponent: u64) {
        while exponent >= 9 {
            self.multiply_add(CHUNK, 0);
            exponent -= 9;
        }
        (0..exponent).for_each(|_| self.multiply_add(10, 0));
    }

    pub(super) fn multiply_add(&mut self, factor: u32, addend: u32) {
        let mut carry = u64::from(addend);
        for limb in &mut self.0 {
            let product = u64::from(*limb) * u64::from(factor) + carry;
            *limb = low(u128::from(product));
            carry = product >> LIMB;
        }
        self.0.push(low(u128::from(carry)));
        self.trim();
    }

    /// The quotient, which must fit, and whether there is a remainder.
    pub(super) fn divide(mut self, by: &Big) -> (u128, bool) {
        let mut quotient = 0;
        let distance = self.bits().saturating_sub(by.bits());
        for shift in (0..=distance).rev() {
            let shifted = by.clone() << shift;
            let fits = shifted.is_at_most(&self);
            if fits {
                self.subtract(&shifted);
            }
            quotient = quotient << 1 | u128::from(fits);
        }
        (quotient, !self.is_zero())
    }

    /// The number without its lowest `shift` bits, which must fit, and whether one of those was set.
    pub(super) fn shift_right(&self, shift: u32) -> (u128, bool) {
        let (mut top, mut lost) = (0, false);
        for (index, &limb) in self.0.iter().enumerate().rev() {
            let first_bit = u32::try_from(index).expect("numbers have few digits") * LIMB;
            let drop = shift.saturating_sub(first_bit).min(LIMB);
            let kept = u64::from(limb) >> drop;
            lost |= kept << drop != u64::from(limb);
            if drop < LIMB {
                top = top << (LIMB - drop) | u128::from(kept);
            }
        }
        (top, lost)
    }

    pub(super) fn to_decimal(&self) -> String {
        let mut rest = self.clone();
        let mut chunks = Vec::new();
        while !rest.is_zero() {
            chunks.push(rest.divide_by_chunk());
        }
        let Some(first) = chunks.pop() else { return "0".to_owned() };
        let mut text = first.to_string();
        chunks.iter().rev().for_each(|chunk| text.push_str(&format!("{chunk:0CHUNK_DIGITS$}")));
        text
    }

    /// Divides by 10^9 and returns the remainder.
    fn divide_by_chunk(&mut self) -> u32 {
        let mut remainder = 0;
        for limb in self.0.iter_mut().rev() {
            let value = u64::from(remainder) << LIMB | u64::from(*limb);
            *limb = low(u128::from(value / u64::from(CHUNK)));
            remainder = low(u128::from(value % u64::from(CHUNK)));
        }
        self.trim();
        remainder
    }

    fn is_at_most(&self, other: &Big) -> bool {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.iter().rev().cmp(other.0.iter().rev())).is_le()
    }

    /// `other` must not be larger.
    fn subtract(&mut self, other: &Big) {
        let mut borrow = false;
        for (index, limb) in self.0.iter_mut().enumerate() {
            let (difference, first) = limb.overflowing_sub(other.0.get(index).copied().unwrap_or(0));
            let (difference, second) = difference.overflowing_sub(u32::from(borrow));
            (*limb, borrow) = (difference, first || second);
        }
        self.trim();
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the low 32 bits are what is wanted")]
fn low(value: u128) -> u32 {
    value as u32
}
