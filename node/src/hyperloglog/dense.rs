//! Registers of six bits, four in three bytes, the lowest bits first.

use super::REGISTERS;

/// Bytes of all registers.
pub(super) const BYTES: usize = REGISTERS / GROUP * GROUP_BYTES;

/// Registers that together are whole bytes.
const GROUP: usize = 4;
const GROUP_BYTES: usize = 3;
const REGISTER_BITS: usize = 6;
const REGISTER_MASK: u32 = (1 << REGISTER_BITS) - 1;

fn group_of(bytes: [u8; GROUP_BYTES]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0])
}

fn values(group: u32) -> [u8; GROUP] {
    std::array::from_fn(|nth| u8::try_from(group >> (nth * REGISTER_BITS) & REGISTER_MASK).expect("six bits"))
}

/// Calls `each` with the value of every register.
pub(super) fn each(registers: &[u8], each: impl FnMut(u8)) {
    let (groups, _) = registers.as_chunks::<GROUP_BYTES>();
    groups.iter().flat_map(|&bytes| values(group_of(bytes))).for_each(each);
}

/// Makes each of `largest` at least as large as its register.
pub(super) fn merge_into(largest: &mut [u8], registers: &[u8]) {
    let (groups, _) = registers.as_chunks::<GROUP_BYTES>();
    let (largest, _) = largest.as_chunks_mut::<GROUP>();
    for (&bytes, largest) in groups.iter().zip(largest) {
        for (value, largest) in values(group_of(bytes)).into_iter().zip(largest) {
            *largest = value.max(*largest);
        }
    }
}

/// Makes a register at least `value`; true: it was less.
pub(super) fn raise(registers: &mut [u8], register: usize, value: u8) -> bool {
    let (start, shift) = (register / GROUP * GROUP_BYTES, register % GROUP * REGISTER_BITS);
    let bytes = &mut registers[start..start + GROUP_BYTES];
    let group = group_of([bytes[0], bytes[1], bytes[2]]);
    if group >> shift & REGISTER_MASK >= u32::from(value) {
        return false;
    }
    let raised = group & !(REGISTER_MASK << shift) | u32::from(value) << shift;
    bytes.copy_from_slice(&raised.to_le_bytes()[..GROUP_BYTES]);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_do_not_touch_their_neighbours() {
        let mut registers = vec![0; BYTES];
        for register in (0..REGISTERS).rev() {
            let value = u8::try_from(register % 51 + 1).unwrap();
            assert!(raise(&mut registers, register, value));
            assert!(!raise(&mut registers, register, value));
            assert!(!raise(&mut registers, register, value - 1));
        }
        let mut found = Vec::new();
        each(&registers, |value| found.push(usize::from(value)));
        assert_eq!(found, (0..REGISTERS).map(|register| register % 51 + 1).collect::<Vec<_>>());
        let mut largest = vec![30; REGISTERS];
        merge_into(&mut largest, &registers);
        let expected = found.iter().map(|&value| u8::try_from(value.max(30)).unwrap());
        assert_eq!(largest, expected.collect::<Vec<_>>());
    }
}
