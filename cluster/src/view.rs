//! The admin vocabulary: what the admin API and `slotway ctl` show, as values. INTERFACE's JSON shapes, one struct each.
//!
//! An unknown value is `null`, never absent.

use serde::{Deserialize, Serialize};
