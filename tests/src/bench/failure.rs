//! Why a measurement cannot be made, said so that the reader knows what to do about it.

use std::fmt;
use std::io;

#[derive(Debug)]
pub enum Failure {
    /// The command line is wrong.
    Usage(String),
    /// A program to compare with is not installed or not built.
    Missing { program: String, remedy: String },
    /// A server was started and does not serve. `log` is the end of what it wrote.
    DidNotStart { name: String, why: String, log: String },
    /// A measurement ran, and what came back makes it worthless: errors, missing keys, silence.
    Worthless(String),
    /// The operating system refused something the measurement needs.
    System { doing: String, error: io::Error },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage(text) => write!(f, "{text}"),
            Failure::Missing { program, remedy } => write!(f, "{program} is not there: {remedy}"),
            Failure::DidNotStart { name, why, log } => write!(f, "{name} did not start: {why}\n{log}"),
            Failure::Worthless(text) => write!(f, "worthless measurement: {text}"),
            Failure::System { doing, error } => write!(f, "{doing}: {error}"),
        }
    }
}

impl std::error::Error for Failure {}

/// Says what was being done when the operating system refused.
pub trait While<T> {
    /// # Errors
    /// The same error, with the words.
    fn during(self, doing: &str) -> Result<T, Failure>;
}

impl<T> While<T> for io::Result<T> {
    fn during(self, doing: &str) -> Result<T, Failure> {
        self.map_err(|error| Failure::System { doing: doing.to_owned(), error })
    }
}
