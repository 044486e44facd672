//! A reply without its wire format: what is left of a RESP2 or RESP3 frame when only its content counts.
//!
//! This crate does not know RESP. Whoever has a frame translates it; here the two shapes of a mapping (RESP3's map, RESP2's
//! list of keys and values in turn) are read alike.

/// A reply, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Null,
    Integer(i64),
    Text(String),
    List(Vec<Value>),
    Map(Vec<(Value, Value)>),
}

impl Value {
    pub fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            Value::Null | Value::Integer(_) | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// A number, also one written as text.
    pub(crate) fn as_number(&self) -> Option<u16> {
        match self {
            Value::Integer(number) => u16::try_from(*number).ok(),
            Value::Text(digits) => digits.parse().ok(),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }

    pub(crate) fn as_list(&self) -> Option<&[Value]> {
        match self {
            Value::List(values) => Some(values),
            Value::Null | Value::Integer(_) | Value::Text(_) | Value::Map(_) => None,
        }
    }

    /// What stands under `name` in a mapping of either shape.
    pub(crate) fn field(&self, name: &str) -> Option<&Value> {
        match self {
            Value::Map(pairs) => {
                pairs.iter().find_map(|(key, value)| (key.as_text() == Some(name)).then_some(value))
            }
            Value::List(values) => {
                values.chunks_exact(2).find_map(|pair| (pair[0].as_text() == Some(name)).then_some(&pair[1]))
            }
            Value::Null | Value::Integer(_) | Value::Text(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_is_read_alike_in_both_shapes() {
        let (key, value) = (Value::text("port"), Value::Integer(7));
        for mapping in [Value::List(vec![key.clone(), value.clone()]), Value::Map(vec![(key, value.clone())])]
        {
            assert_eq!(mapping.field("port"), Some(&value));
            assert_eq!(mapping.field("ip"), None);
        }
        // The value of one field is not the name of another; a name without a value is nothing.
        let list = Value::List(vec![Value::text("role"), Value::text("port"), Value::text("port")]);
        assert_eq!(list.field("port"), None);
        assert_eq!(Value::Null.field("port"), None);
    }

    #[test]
    fn numbers_outside_the_range_are_none() {
        assert_eq!(Value::Integer(-1).as_number(), None);
        assert_eq!(Value::Integer(65536).as_number(), None);
        assert_eq!(Value::text("6379").as_number(), Some(6379));
    }
}
