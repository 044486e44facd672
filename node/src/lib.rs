//! slotway-node
