//! A snapshot beside clients, in one runtime with them: the test decides what happens between two pieces.
