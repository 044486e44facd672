//! Commands of the group "hashes".

use crate::call::{Call, Done};

pub(crate) fn hset(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn hsetnx(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn hmset(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn hget(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn hmget(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn hgetall(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn hkeys(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn hvals(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn hlen(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn hstrlen(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn hexists(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn hdel(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn hincrby(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn hincrbyfloat(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn hrandfield(_call: &mut Call<'_>) -> Done {
    todo!()
}

pub(crate) fn hscan(_call: &mut Call<'_>) -> Done {
    todo!()
}
