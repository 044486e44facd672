//! Commands of the group "strings".

use crate::call::{Call, Done};

pub(crate) fn get(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn set(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn setnx(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn setex(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn psetex(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn getset(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn getdel(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn getex(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn mget(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn mset(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn msetnx(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn append(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn strlen(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn setrange(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn getrange(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn substr(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn incr(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn decr(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn incrby(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn decrby(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn incrbyfloat(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn lcs(_call: &mut Call<'_>) -> Done {
    todo!()
}
