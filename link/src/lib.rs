//! slotway-link
