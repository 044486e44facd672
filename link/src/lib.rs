//! Both ends of a connection that speaks RESP, as far as node, proxy, control group and tests share them.
//!
//! [`listen`] and [`unix`] bind addresses and say clearly what is wrong with one; [`accept`] takes connections and sets their
//! options; [`outgoing`] is one connection to a server, one request at a time, each with a deadline; [`backoff`]
//! decides how long to wait before trying again; [`clock`] is the clock of leases; [`descriptors`] raises the open-file
//! limit.
//!
//! What is not here: the proxy's pipelined data links (they belong to its data threads), and any protocol above
//! request and reply.

pub mod listen;

pub mod unix;

pub mod accept;

mod end;

pub mod descriptors;

pub mod outgoing;

pub mod backoff;

pub mod clock;

pub use accept::{Acceptor, tune};
pub use backoff::Backoff;
pub use clock::boottime;
pub use end::End;
pub use listen::{BindError, Listening, bind, bind_for_clients};
pub use outgoing::{Connection, Credentials, LinkError, MEMBER, Target};
pub use unix::bind_unix;
