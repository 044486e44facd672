//! slotway-tests
