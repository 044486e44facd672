//! What BY and GET look up for an element: a string, or a field of a hash, whose key has the element in it.

use super::c_string;
use crate::call::Call;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pattern<'a> {
    /// `#`
    Element,
    /// No `*`: a fixed key is never looked up.
    Nothing,
    /// `prefix*postfix`, or `prefix*postfix->field`.
    Key { prefix: &'a [u8], postfix: &'a [u8], field: Option<&'a [u8]> },
}

impl<'a> Pattern<'a> {
    /// Redis looks for `*` and `->` in a C string, which a zero byte ends. An arrow with nothing behind it is none.
    pub(super) fn parse(word: &'a [u8]) -> Pattern<'a> {
        let text = c_string(word);
        if text == b"#" {
            return Pattern::Element;
        }
        let Some(star) = memchr::memchr(b'*', text) else { return Pattern::Nothing };
        let (prefix, behind) = (&word[..star], &word[star + 1..]);
        let arrow =
            memchr::memmem::find(&text[star + 1..], b"->").filter(|arrow| star + arrow + 3 < text.len());
        match arrow {
            Some(arrow) => {
                Pattern::Key { prefix, postfix: &behind[..arrow], field: Some(&behind[arrow + 2..]) }
            }
            None => Pattern::Key { prefix, postfix: behind, field: None },
        }
    }

    /// Calls `found` with the text; None: there is no such key or field, or it is of another type. `key` is for the key's
    /// bytes, so that they are not allocated for each element.
    pub(super) fn look_up<T>(
        &self,
        call: &mut Call<'_>,
        element: &[u8],
        key: &mut Vec<u8>,
        found: impl FnOnce(Option<&[u8]>) -> T,
    ) -> T {
        let Pattern::Key { prefix, postfix, field } = self else {
            return found((*self == Pattern::Element).then_some(element));
        };
        key.clear();
        [prefix, element, postfix].into_iter().for_each(|part| key.extend_from_slice(part));
        let seed = call.keyspace.seed();
        let key = call.keyspace.key(call.database, key);
        let entry = call.keyspace.read(key, call.now);
        found(entry.and_then(|entry| match field {
            Some(field) => entry.hash()?.get(&seed, field),
            None => entry.text(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_cut_at_its_first_star_and_the_arrow_behind_it() {
        fn key<'a>(prefix: &'a str, postfix: &'a str, field: Option<&'a str>) -> Pattern<'a> {
            let field = field.map(str::as_bytes);
            Pattern::Key { prefix: prefix.as_bytes(), postfix: postfix.as_bytes(), field }
        }
        for (word, expected) in [
            ("#", Pattern::Element),
            ("##", Pattern::Nothing),
            ("", Pattern::Nothing),
            ("fixed->f", Pattern::Nothing),
            ("*", key("", "", None)),
            ("w*", key("w", "", None)),
            ("w*x*", key("w", "x*", None)),
            ("w*->f", key("w", "", Some("f"))),
            ("w*y->f->g", key("w", "y", Some("f->g"))),
            ("w*->", key("w", "->", None)),
            ("a->b*", key("a->b", "", None)),
            ("w\0*", Pattern::Nothing),
            ("w*\0->f", key("w", "\0->f", None)),
            ("w*->\0f", key("w", "->\0f", None)),
            ("w*->f\0g", key("w", "", Some("f\0g"))),
        ] {
            assert_eq!(Pattern::parse(word.as_bytes()), expected, "{word:?}");
        }
    }
}
