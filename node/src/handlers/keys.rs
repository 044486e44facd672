//! Commands of the group "keys".
