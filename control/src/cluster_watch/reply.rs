//! From frames to what `slotway_cluster::discovery` reads.

use slotway_cluster::discovery::{BadReply, Value};
use slotway_resp::Frame;

/// The content of a reply; an error is the server's refusal.
pub(super) fn value(frame: Frame) -> Result<Value, BadReply> {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(match frame {
        Frame::Error(bytes) | Frame::BulkError(bytes) => return Err(BadReply(text(bytes))),
        Frame::Simple(bytes) | Frame::Bulk(bytes) | Frame::BigNumber(bytes) => Value::Text(text(bytes)),
        Frame::Verbatim { text: bytes, .. } => Value::Text(text(bytes)),
        Frame::Integer(number) => Value::Integer(number),
        Frame::Double(number) => Value::Text(number.to_string()),
        Frame::Boolean(is) => Value::Integer(i64::from(is)),
        Frame::NullBulk | Frame::NullArray | Frame::Null => Value::Null,
        Frame::Array(frames) | Frame::Set(frames) | Frame::Push(frames) => {
            Value::List(frames.into_iter().map(value).collect::<Result<_, _>>()?)
        }
        Frame::Map(pairs) => {
            let pair = |(key, of)| Ok((value(key)?, value(of)?));
            Value::Map(pairs.into_iter().map(pair).collect::<Result<_, _>>()?)
        }
    })
}

/// The text of a reply that must be one.
pub(super) fn text(value: &Value) -> Result<&str, BadReply> {
    match value {
        Value::Text(text) => Ok(text),
        Value::Null | Value::Integer(_) | Value::List(_) | Value::Map(_) => {
            Err(BadReply("a text was expected".into()))
        }
    }
}

/// How a server outside a cluster refuses CLUSTER.
pub(super) fn is_no_cluster(refused: &BadReply) -> bool {
    refused.0.contains("cluster support disabled")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_has_a_content() {
        let frame = Frame::Map(vec![(Frame::Bulk(b"port".to_vec()), Frame::Integer(7))]);
        assert_eq!(value(frame), Ok(Value::Map(vec![(Value::text("port"), Value::Integer(7))])));
        let frame = Frame::Array(vec![Frame::NullBulk, Frame::Simple(b"x".to_vec()), Frame::Boolean(true)]);
        assert_eq!(value(frame), Ok(Value::List(vec![Value::Null, Value::text("x"), Value::Integer(1)])));
        let refused = value(Frame::Error(b"ERR This instance has cluster support disabled".to_vec()));
        assert!(is_no_cluster(&refused.unwrap_err()));
        let inner = Frame::Array(vec![Frame::Error(b"ERR no".to_vec())]);
        assert_eq!(value(inner), Err(BadReply("ERR no".into())), "half a reply is none");
        assert!(text(&Value::Null).is_err());
    }
}
