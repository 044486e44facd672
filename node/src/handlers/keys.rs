//! Commands of the group "keys".

use crate::call::{Call, Done};

pub(crate) fn del(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn unlink(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn exists(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn touch(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn type_(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn expire(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn pexpire(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn expireat(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn pexpireat(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn ttl(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn pttl(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn expiretime(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn pexpiretime(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn persist(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn rename(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn renamenx(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn copy(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn move_(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn keys(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn scan(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn randomkey(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn dbsize(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn flushdb(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn flushall(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn swapdb(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn object_encoding(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn object_freq(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn object_idletime(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn object_refcount(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn object_help(_call: &mut Call<'_>) -> Done {
    todo!()
}
