//! The key positions of a request.
