"""redis-py's cluster client: it asks for the slots, finds the proxies as their owners, and works with every slot."""

import asyncio

import redis
import redis.asyncio
from checks import HOST, SLOTS, Checks, a_key_for_every_slot, equal, port, raises, require_major, slot, true
from redis.cluster import RedisCluster

EVERY_SLOT = a_key_for_every_slot()

check = Checks()


@check("every slot is known and has an owner")
def _(r):
    equal(r.cluster_keyslot("hello"), slot(b"hello"))
    equal(len(r.nodes_manager.slots_cache), SLOTS)
    info = r.cluster_info(target_nodes=RedisCluster.RANDOM)
    equal([info["cluster_state"], info["cluster_slots_assigned"]], ["ok", str(SLOTS)])
    true(len(r.cluster_nodes()) >= 1, "CLUSTER NODES")
    true(len(r.cluster_shards(target_nodes=RedisCluster.RANDOM)) >= 1, "CLUSTER SHARDS")


@check("a value in every slot is written and read")
def _(r):
    for key in EVERY_SLOT[:2000]:
        r.set(key, key)
        equal(r.get(key), key)
    pipeline = r.pipeline()
    for key in EVERY_SLOT:
        pipeline.set(key, b"of " + key)
    equal(pipeline.execute(), [True] * SLOTS)
    for key in EVERY_SLOT:
        pipeline.get(key)
    equal(pipeline.execute(), [b"of " + key for key in EVERY_SLOT])


@check("many keys at once, however they are spread")
def _(r):
    keys = EVERY_SLOT[:300]
    true(all(r.mset_nonatomic({key: b"1" for key in keys})), "MSET per slot")
    equal(r.mget_nonatomic(keys), [b"1"] * 300)
    equal(r.mget(["{tag}1", "{tag}2"]), [None, None])
    equal(r.exists(*keys), 300)
    equal(r.delete(*keys), 300)


@check("commands for the whole cluster see all keys")
def _(r):
    r.flushall()
    pipeline = r.pipeline()
    for number in range(3000):
        pipeline.set(f"all:{number}", number)
    pipeline.execute()
    equal(r.dbsize(), 3000)
    equal(len(r.keys("all:*")), 3000)
    equal(len(set(r.scan_iter(match="all:*", count=500))), 3000)
    r.flushall()
    equal(r.dbsize(), 0)


@check("hashes, counters and deadlines work")
def _(r):
    r.hset("h", mapping={"a": "1", "b": "2"})
    equal(r.hgetall("h"), {b"a": b"1", b"b": b"2"})
    equal([r.incr("n"), r.incr("n")], [1, 2])
    r.expire("n", 100)
    true(r.ttl("n") > 90, "TTL")
    raises(redis.ResponseError, "WRONGTYPE", r.get, "h")


@check("the asyncio cluster client works")
def _(_r):
    async def work():
        async with redis.asyncio.RedisCluster(host=HOST, port=port(), decode_responses=True) as r:
            # Few at a time: the library refuses to open more connections than its default allows.
            for start in range(0, 500, 20):
                numbers = range(start, start + 20)
                await asyncio.gather(*(r.set(f"async:{number}", number) for number in numbers))
                found = await asyncio.gather(*(r.get(f"async:{number}") for number in numbers))
                equal(found, [str(number) for number in numbers])

    asyncio.run(work())


def main():
    require_major("redis-py", redis.__version__)
    for protocol in [None, 2, 3]:
        way = {} if protocol is None else {"protocol": protocol}
        client = RedisCluster(host=HOST, port=port(), **way)
        client.flushall()
        check.run(f"with {way or 'the defaults'}: ", client)
        client.close()


main()
