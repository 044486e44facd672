//! slotway-commands
