//! slotway-proxy
