//! slotway-cluster
