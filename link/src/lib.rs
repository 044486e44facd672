//! Both ends of a TCP connection that speaks RESP, as far as node, proxy, control group and tests share them.
//!
//! [`listen`] binds addresses and says clearly what is wrong with one; [`accept`] takes connections and sets their
//! options; [`outgoing`] is one connection to a server, one request at a time, each with a deadline; [`backoff`]
//! decides how long to wait before trying again; [`descriptors`] raises the open-file
//! limit.
//!
//! What is not here: the proxy's pipelined data links (they belong to its data threads), and any protocol above
//! request and reply.

pub mod listen;

pub mod accept;

pub mod descriptors;

pub mod outgoing;

pub mod backoff;

pub use accept::{Acceptor, tune};
pub use backoff::Backoff;
pub use listen::{BindError, Listening, bind};
pub use outgoing::{Connection, Credentials, LinkError, MEMBER, Target};
