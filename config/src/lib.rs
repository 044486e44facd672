//! slotway-config
