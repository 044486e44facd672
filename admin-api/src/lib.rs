//! slotway-admin-api
