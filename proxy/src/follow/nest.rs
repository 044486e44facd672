//! A request that was cut while it looked for its way: its parts are put together here, and the whole is told to whoever
//! waits for it: the client, or the request that this one was itself a part of.

use std::{cell::RefCell, rc::Rc};

use crate::gather::Gather;

/// Where a reply belongs.
#[derive(Debug, Clone)]
pub(crate) struct Nest {
    gather: Rc<RefCell<Gather>>,
    /// Which part of it.
    part: u32,
    /// Who waits for the whole. None: the client does.
    outer: Option<Box<Nest>>,
}

impl Nest {
    /// One for each part.
    pub(crate) fn parts(gather: Gather, count: u32, outer: Option<Nest>) -> Vec<Nest> {
        let gather = Rc::new(RefCell::new(gather));
        let outer = outer.map(Box::new);
        (0..count).map(|part| Nest { gather: Rc::clone(&gather), part, outer: outer.clone() }).collect()
    }

    /// Takes the reply of the part. Some: the whole that the client waits for.
    pub(crate) fn deliver(self, reply: &[u8]) -> Option<Vec<u8>> {
        let mut gather = self.gather.borrow_mut();
        gather.part(self.part, reply);
        if !gather.is_complete() {
            return None;
        }
        let mut whole = Vec::new();
        gather.merge(&mut whole);
        match self.outer {
            None => Some(whole),
            Some(outer) => outer.deliver(&whole),
        }
    }
}

#[cfg(test)]
mod tests {
    use slotway_commands::row::MergeRule;

    use super::*;
    use crate::gather::Merge;

    #[test]
    fn parts_of_parts_make_one_whole() {
        let sum = |parts| Gather::new(parts, Merge::Rule(MergeRule::Sum), 0);
        let mut outer = Nest::parts(sum(2), 2, None);
        let second = outer.pop().unwrap();
        let inner = Nest::parts(sum(3), 3, outer.pop());
        let told: Vec<Option<Vec<u8>>> = inner.into_iter().map(|part| part.deliver(b":2\r\n")).collect();
        assert_eq!(told, [None, None, None]);
        assert_eq!(second.deliver(b":1\r\n"), Some(b":7\r\n".to_vec()));
    }
}
