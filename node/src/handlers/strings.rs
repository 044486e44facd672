//! Commands of the group "strings".
