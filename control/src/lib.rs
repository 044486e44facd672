//! slotway-control
