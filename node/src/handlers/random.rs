//! Elements of a collection chosen by chance: what HRANDFIELD and SRANDMEMBER share.

use std::collections::HashSet;
use std::hash::Hash;

use slotway_commands::errors;

use super::arguments::integer;
use crate::call::Refusal;
use crate::keyspace::seed::Random;

/// No request is answered with more elements than this that may be the same: Redis would go on until memory ends.
const REPEATED_MAX: usize = 10_000_000;

/// What elements are chosen from.
pub(super) trait Population: Copy {
    type Element: Copy;
    /// What tells elements from each other.
    type Name: Eq + Hash;

    fn len(self) -> usize;
    /// Whether a choice has to walk from the first element.
    fn is_packed(self) -> bool;
    fn for_each(self, each: impl FnMut(Self::Element));
    fn random(self, random: &mut Random) -> Option<Self::Element>;
    fn name(element: Self::Element) -> Self::Name;
}

/// How many elements are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Count {
    /// Different ones.
    Different(usize),
    /// Elements that may be the same.
    Repeated(usize),
}

/// A count that has a negative.
pub(super) fn read_count(word: &[u8]) -> Result<i64, Refusal> {
    match integer(word)? {
        i64::MIN => Err(errors::RANDOM_COUNT_RANGE.into()),
        count => Ok(count),
    }
}

impl Count {
    /// A negative count asks for elements that may be the same.
    pub(super) fn new(count: i64) -> Result<Count, Refusal> {
        let wanted = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
        match count {
            0.. => Ok(Count::Different(wanted)),
            _ if wanted <= REPEATED_MAX => Ok(Count::Repeated(wanted)),
            _ => Err(errors::OUT_OF_RANGE.into()),
        }
    }

    /// How many elements [`choose`] chooses from a population of this size.
    pub(super) fn of(self, len: usize) -> usize {
        match self {
            Count::Different(wanted) => wanted.min(len),
            Count::Repeated(_) if len == 0 => 0,
            Count::Repeated(wanted) => wanted,
        }
    }
}

/// Calls `each` with as many elements as [`Count::of`] says.
pub(super) fn choose<P: Population>(
    population: P,
    count: Count,
    random: &mut Random,
    mut each: impl FnMut(P::Element),
) {
    let wanted = count.of(population.len());
    match count {
        // A packed population would be walked for each choice: better once for all.
        Count::Repeated(_) if population.is_packed() => {
            let elements = all(population);
            (0..wanted).for_each(|_| each(elements[random.index(elements.len())]));
        }
        Count::Repeated(_) => (0..wanted).filter_map(|_| population.random(random)).for_each(each),
        Count::Different(_) if wanted == population.len() => population.for_each(each),
        Count::Different(_) if wanted >= population.len() / 3 => {
            let mut elements = all(population);
            for place in 0..wanted {
                let other = place + random.index(elements.len() - place);
                elements.swap(place, other);
                each(elements[place]);
            }
        }
        Count::Different(_) => {
            let mut chosen = HashSet::with_capacity(wanted);
            while chosen.len() < wanted {
                let Some(element) = population.random(random) else { break };
                if chosen.insert(P::name(element)) {
                    each(element);
                }
            }
        }
    }
}

fn all<P: Population>(population: P) -> Vec<P::Element> {
    let mut elements = Vec::with_capacity(population.len());
    population.for_each(|element| elements.push(element));
    elements
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers below this.
    #[derive(Clone, Copy)]
    struct Below(usize, bool);

    impl Population for Below {
        type Element = usize;
        type Name = usize;

        fn len(self) -> usize {
            self.0
        }

        fn is_packed(self) -> bool {
            self.1
        }

        fn for_each(self, each: impl FnMut(usize)) {
            (0..self.0).for_each(each);
        }

        fn random(self, random: &mut Random) -> Option<usize> {
            (self.0 > 0).then(|| random.index(self.0))
        }

        fn name(element: usize) -> usize {
            element
        }
    }

    #[test]
    fn as_many_are_chosen_as_were_said_and_different_ones_where_they_must_be() {
        let mut random = Random::new(5);
        for packed in [false, true] {
            for len in [0, 1, 5, 50] {
                for count in [0, 1, 2, 5, 10, 17, 20, 49, 50, 51, 1000, i64::MAX, -1, -2, -50, -1000] {
                    let count = Count::new(count).unwrap();
                    let mut chosen = Vec::new();
                    choose(Below(len, packed), count, &mut random, |element| chosen.push(element));
                    assert_eq!(chosen.len(), count.of(len), "{count:?} of {len}");
                    assert!(chosen.iter().all(|&element| element < len));
                    let different: HashSet<_> = chosen.iter().collect();
                    let repeats = matches!(count, Count::Repeated(_));
                    assert!(repeats || different.len() == chosen.len(), "{count:?} of {len}");
                }
            }
        }
    }

    #[test]
    fn counts_without_a_negative_or_without_an_end_are_refused() {
        assert!(read_count(b"-9223372036854775808").is_err());
        assert_eq!(read_count(b"-9223372036854775807"), Ok(-i64::MAX));
        assert!(read_count(b"x").is_err());
        assert_eq!(Count::new(-10_000_000), Ok(Count::Repeated(10_000_000)));
        assert!(Count::new(-10_000_001).is_err());
        assert!(Count::new(i64::MAX).is_ok());
    }
}
