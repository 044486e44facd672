"""redis-py in plain mode: one server, whatever stands behind it.

All checks of data run with each way to connect that applications use: the defaults of the library, decoded replies,
both protocols, other databases. Then come pools, asyncio, passwords, names and lost connections.
"""

import asyncio
import threading

import redis
import redis.asyncio
from checks import HOST, SLOTS, Checks, a_key_for_every_slot, equal, eventually, port, raises, require_major, true
from redis.backoff import NoBackoff
from redis.retry import Retry

WAYS = [
    {},
    {"decode_responses": True},
    {"protocol": 3},
    {"protocol": 2},
    {"db": 1},
    {"db": 15, "protocol": 3, "decode_responses": True},
]

EVERY_SLOT = a_key_for_every_slot()

data = Checks()
connection = Checks()


def connect(**more):
    return redis.Redis(host=HOST, port=port(), **more)


def refused(**more):
    """Connects once: a refusal stays a refusal, however often one asks."""
    raises(redis.AuthenticationError, "", connect(retry=Retry(NoBackoff(), 0), **more).ping)


def decoded(client):
    return client.get_connection_kwargs().get("decode_responses", False)


def text(client, value):
    """A reply as the client gives it: bytes, or a text when it decodes."""
    return value if decoded(client) else value.encode()


def texts(client, *values):
    return [text(client, value) for value in values]


@data("ping and echo are answered")
def _(r):
    equal(r.ping(), True)
    equal(r.echo("hello there"), text(r, "hello there"))


@data("a value that was set is read back")
def _(r):
    equal(r.set("greeting", "hello"), True)
    equal(r.get("greeting"), text(r, "hello"))
    equal(r.get("never set"), None)
    equal(r.set("empty", ""), True)
    equal(r.get("empty"), text(r, ""))


@data("the options of SET keep their promises")
def _(r):
    r.delete("option")
    equal(r.set("option", "1", xx=True), None)
    equal(r.set("option", "1", nx=True), True)
    equal(r.set("option", "2", nx=True), None)
    equal(r.set("option", "3", get=True), text(r, "1"))
    equal(r.set("option", "4", ex=100), True)
    equal(r.set("option", "5", keepttl=True), True)
    true(90 < r.ttl("option") <= 100, "KEEPTTL kept the deadline")
    equal(r.set("option", "6", px=50_000), True)
    true(40_000 < r.pttl("option") <= 50_000, "PX counts milliseconds")
    equal(r.setex("option", 10, "7"), True)
    equal(r.psetex("option", 10_000, "8"), True)
    equal(r.set("option", "9"), True)
    equal(r.ttl("option"), -1)


@data("the other string commands work")
def _(r):
    r.delete("s")
    equal(r.setnx("s", "abc"), True)
    equal(r.append("s", "def"), 6)
    equal(r.strlen("s"), 6)
    equal(r.getrange("s", 1, -2), text(r, "bcde"))
    equal(r.setrange("s", 8, "xy"), 10)
    equal(r.get("s"), text(r, "abcdef\0\0xy"))
    equal(r.getset("s", "new"), text(r, "abcdef\0\0xy"))
    equal(r.getex("s", ex=100), text(r, "new"))
    true(r.ttl("s") > 0, "GETEX set a deadline")
    equal(r.getex("s", persist=True), text(r, "new"))
    equal(r.ttl("s"), -1)
    equal(r.getdel("s"), text(r, "new"))
    equal(r.get("s"), None)


@data("counters count")
def _(r):
    r.delete("n", "f")
    equal([r.incr("n"), r.incrby("n", 41), r.decr("n"), r.decrby("n", 100)], [1, 42, 41, -59])
    equal(r.incrbyfloat("f", 0.1), 0.1)
    equal(r.incrbyfloat("f", 2), 2.1)
    equal(r.get("f"), text(r, "2.1"))


@data("MSET and MGET work over all slots, in order")
def _(r):
    wanted = {key: b"value of " + key for key in EVERY_SLOT}
    equal(r.mset(wanted), True)
    values = [value.decode() if decoded(r) else value for value in wanted.values()]
    equal(r.mget(EVERY_SLOT), values)
    equal(r.mget("no such", EVERY_SLOT[7], "no such", EVERY_SLOT[7]), [None, values[7], None, values[7]])
    equal(r.dbsize() >= SLOTS, True)


@data("keys of all slots are found, counted, touched and deleted")
def _(r):
    equal(r.exists(*EVERY_SLOT, EVERY_SLOT[0]), SLOTS + 1)
    equal(r.touch(*EVERY_SLOT), SLOTS)
    found = {text(r, key.decode()) for key in EVERY_SLOT}
    equal(set(r.scan_iter(match="every:*", count=1000)), found)
    equal(set(r.keys("every:*")), found)
    half = SLOTS // 2
    equal(r.delete(*EVERY_SLOT[:half]), half)
    equal(r.unlink(*EVERY_SLOT), SLOTS - half)
    equal(r.exists(*EVERY_SLOT), 0)
    equal(list(r.scan_iter(match="every:*", count=1000)), [])


@data("a scan finds every key of a database exactly as DBSIZE counts them")
def _(r):
    r.flushdb()
    r.mset({f"scanned:{number}": number for number in range(5000)})
    equal(len(set(r.scan_iter())), 5000)
    equal(len(set(r.scan_iter(_type="string", count=500))), 5000)
    equal(len(set(r.scan_iter(_type="hash", count=500))), 0)
    equal(r.dbsize(), 5000)
    true(r.randomkey().startswith(text(r, "scanned:")), "RANDOMKEY names a key that exists")
    equal(r.flushdb(), True)
    equal(r.dbsize(), 0)
    equal(r.randomkey(), None)


@data("keys live as long as they were told to")
def _(r):
    r.set("mortal", "x", px=40)
    eventually(lambda: r.get("mortal") is None, "a key with 40 ms is gone")
    equal(r.exists("mortal"), 0)
    equal(r.ttl("mortal"), -2)
    r.set("mortal", "x")
    equal(r.ttl("mortal"), -1)
    equal(r.expire("mortal", 100, gt=True), False)
    equal(r.expire("mortal", 100, nx=True), True)
    equal(r.expire("mortal", 50, gt=True), False)
    equal(r.pexpire("mortal", 200_000, xx=True), True)
    true(190 < r.ttl("mortal") <= 200, "the later deadline holds")
    equal(r.persist("mortal"), True)
    equal(r.persist("mortal"), False)
    equal(r.expireat("mortal", 4_000_000_000), True)
    equal(r.expiretime("mortal"), 4_000_000_000)
    equal(r.pexpiretime("mortal"), 4_000_000_000_000)
    equal(r.expire("mortal", -1), True)
    equal(r.exists("mortal"), 0)


@data("keys are renamed, copied and described")
def _(r):
    r.flushdb()
    r.set("{tag}a", "1")
    equal(r.rename("{tag}a", "{tag}b"), True)
    equal(r.renamenx("{tag}b", "{tag}c"), True)
    equal(r.copy("{tag}c", "{tag}d"), True)
    equal(r.copy("{tag}c", "{tag}d"), False)
    equal(r.copy("{tag}c", "{tag}d", replace=True), True)
    equal(r.mget("{tag}a", "{tag}b", "{tag}c", "{tag}d"), [None, None, *texts(r, "1", "1")])
    equal(r.type("{tag}d"), text(r, "string"))
    equal(r.type("none"), text(r, "none"))
    equal(r.object("encoding", "{tag}d"), text(r, "int"))
    equal(r.msetnx({"{tag}x": 1, "{tag}y": 2}), True)
    equal(r.msetnx({"{tag}y": 1, "{tag}z": 2}), False)


@data("hashes work")
def _(r):
    r.delete("h")
    equal(r.hset("h", mapping={"one": "1", "two": "2", "three": "3"}), 3)
    equal(r.hset("h", "one", "uno"), 0)
    equal(r.hget("h", "one"), text(r, "uno"))
    equal(r.hget("h", "none"), None)
    equal(r.hmget("h", "two", "none", "three"), [text(r, "2"), None, text(r, "3")])
    equal(r.hgetall("h"), dict(zip(texts(r, "one", "two", "three"), texts(r, "uno", "2", "3"))))
    equal(sorted(r.hkeys("h")), texts(r, "one", "three", "two"))
    equal(sorted(r.hvals("h")), texts(r, "2", "3", "uno"))
    equal([r.hlen("h"), r.hexists("h", "two"), r.hexists("h", "none"), r.hstrlen("h", "one")], [3, True, False, 3])
    equal([r.hincrby("h", "two", 5), r.hincrbyfloat("h", "two", 0.5)], [7, 7.5])
    equal([r.hsetnx("h", "two", "x"), r.hsetnx("h", "four", "4")], [False, True])
    equal(r.hdel("h", "two", "four", "none"), 2)
    true(r.hrandfield("h") in texts(r, "one", "three"), "HRANDFIELD names a field")
    equal(len(r.hrandfield("h", 5)), 2)
    equal(len(r.hrandfield("h", -5)), 5)
    equal(r.hgetall("no such hash"), {})
    equal(r.hdel("h", "one", "three"), 2)
    equal(r.exists("h"), 0)


@data("a hash of many fields is scanned whole")
def _(r):
    fields = {f"field {number}": f"value {number}" for number in range(3000)}
    r.delete("big")
    equal(r.hset("big", mapping=fields), 3000)
    wanted = {text(r, field): text(r, value) for field, value in fields.items()}
    equal(dict(r.hscan_iter("big", count=100)), wanted)
    equal(r.hgetall("big"), wanted)
    matching = {field for field in wanted if field.startswith(text(r, "field 29"))}
    equal(set(dict(r.hscan_iter("big", match="field 29*", count=1000))), matching)


@data("keys and values are any bytes")
def _(r):
    if decoded(r):
        return
    every_byte = bytes(range(256))
    for key in [every_byte, b"\r\n", b"\0", b"$5\r\nhello\r\n", b"*1\r\n", "schlüssel".encode(), b"{", b"{}x", b"}{"]:
        equal(r.set(key, key + every_byte), True)
        equal(r.get(key), key + every_byte)
        equal(r.hset(b"h:" + key, every_byte, key), 1)
        equal(r.hgetall(b"h:" + key), {every_byte: key})
        equal(r.delete(key, b"h:" + key), 2)


@data("large values come back whole")
def _(r):
    for size in [16_384, 65_535, 65_536, 65_537, 5_000_000]:
        value = (b"0123456789abcdef" * (size // 16 + 1))[:size]
        equal(r.set("large", value), True)
        equal(r.strlen("large"), size)
        true(r.get("large") == text(r, value.decode()), f"{size} bytes are the same")
    equal(r.delete("large"), 1)


@data("a pipeline's replies come in the order of its commands")
def _(r):
    pipeline = r.pipeline(transaction=False)
    for number, key in enumerate(EVERY_SLOT):
        pipeline.set(key, number)
    equal(pipeline.execute(), [True] * SLOTS)
    for key in EVERY_SLOT:
        pipeline.get(key)
    equal(pipeline.execute(), texts(r, *map(str, range(SLOTS))))
    pipeline.incr("p").mget(EVERY_SLOT[:3]).ping().hset("ph", "a", 1).hgetall("ph").delete("p", "ph").exists("p")
    wanted = [1, texts(r, "0", "1", "2"), True, 1, {text(r, "a"): text(r, "1")}, 2, 0]
    equal(pipeline.execute(), wanted)
    equal(r.flushdb(), True)


@data("an error inside a pipeline concerns its own command alone")
def _(r):
    r.set("word", "abc")
    pipeline = r.pipeline(transaction=False)
    pipeline.set("a", 1).incr("word").get("a").hget("word", "x").get("word")
    found = pipeline.execute(raise_on_error=False)
    equal([found[0], found[2], found[4]], [True, *texts(r, "1", "abc")])
    true(isinstance(found[1], redis.ResponseError), "INCR of a word fails")
    true(isinstance(found[3], redis.ResponseError), "HGET of a string fails")


@data("errors are Redis's own")
def _(r):
    r.set("word", "abc")

    def refuses(start, *words):
        raises(redis.ResponseError, start, r.execute_command, *words)

    refuses("WRONGTYPE Operation against a key holding the wrong kind of value", "HGET", "word", "f")
    refuses("value is not an integer or out of range", "INCR", "word")
    refuses("unknown command 'NOSUCH', with args beginning with: 'a' 'b' ", "NOSUCH", "a", "b")
    refuses("wrong number of arguments for 'get' command", "GET")
    refuses("syntax error", "SET", "a", "b", "BAD")
    refuses("invalid expire time in 'set' command", "SET", "a", "b", "EX", "0")
    refuses("no such key", "RENAME", "{x}none", "{x}other")
    equal(r.ping(), True)


@data("a transaction runs as one, and its replies come in order")
def _(r):
    r.delete("{tx}a", "{tx}h")
    with r.pipeline(transaction=True) as pipeline:
        pipeline.set("{tx}a", 1).incr("{tx}a").echo("hello").hset("{tx}h", mapping={"f": "v"})
        pipeline.hgetall("{tx}h").get("{tx}none").exists("{tx}a", "{tx}h").ping()
        wanted = [True, 2, text(r, "hello"), 1, {text(r, "f"): text(r, "v")}, None, 2, True]
        equal(pipeline.execute(), wanted)
        equal(pipeline.execute(), [])
        pipeline.get("{tx}a")
        equal(pipeline.execute(), texts(r, "2"))


@data("a large transaction runs as one")
def _(r):
    r.delete("{tx}n", "{tx}big")
    with r.pipeline(transaction=True) as pipeline:
        for _ in range(3000):
            pipeline.incr("{tx}n")
        pipeline.set("{tx}big", "v" * 300_000).strlen("{tx}big")
        equal(pipeline.execute(), [*range(1, 3001), True, 300_000])


@data("an error inside a transaction does not stop the others, one before it stops all")
def _(r):
    r.set("{tx}s", "text")
    with r.pipeline(transaction=True) as pipeline:
        pipeline.set("{tx}a", 1).lpush("{tx}s", "x").incr("{tx}a")
        found = pipeline.execute(raise_on_error=False)
        equal([found[0], found[2]], [True, 2])
        true(isinstance(found[1], redis.ResponseError) and "WRONGTYPE" in str(found[1]), found[1])
        pipeline.set("{tx}a", 100).execute_command("NONSENSE")
        raises(redis.ResponseError, "Command # 2 (NONSENSE)", pipeline.execute)
    equal(r.get("{tx}a"), text(r, "2"))


@data("a watched transaction is tried again until nobody came between")
def _(r):
    r.set("{tx}counter", 0)
    attempts = []

    def increment(pipeline):
        attempts.append(1)
        value = int(pipeline.get("{tx}counter"))
        if len(attempts) < 3:
            r.incrby("{tx}counter", 10)
        pipeline.multi()
        pipeline.set("{tx}counter", value + 1)

    equal(r.transaction(increment, "{tx}counter", "{tx}other"), [True])
    equal((len(attempts), r.get("{tx}counter")), (3, text(r, "21")))
    with r.pipeline() as pipeline:
        pipeline.watch("{tx}counter")
        r.set("{tx}counter", 0)
        pipeline.multi()
        pipeline.set("{tx}counter", 1)
        raises(redis.WatchError, "", pipeline.execute)
        pipeline.watch("{tx}counter")
        pipeline.unwatch()
        pipeline.get("{tx}counter")
        equal(pipeline.execute(), texts(r, "0"))
    equal(r.get("{tx}counter"), text(r, "0"))


@data("threads that watch the same counter lose no increment")
def _(r):
    r.delete("{tx}shared")
    errors = []

    def work():
        def increment(pipeline):
            value = int(pipeline.get("{tx}shared") or 0)
            pipeline.multi()
            pipeline.set("{tx}shared", value + 1)

        try:
            for _ in range(20):
                r.transaction(increment, "{tx}shared")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(errors, [])
    equal(r.get("{tx}shared"), text(r, "160"))


@connection("in a database from 1 to 15 a transaction has any keys; in the spread one those of one slot, or it is refused whole")
def _():
    for number in (0, 4):
        r = connect(db=number)
        r.flushdb()
        with r.pipeline(transaction=True) as pipeline:
            for key in EVERY_SLOT[:100]:
                pipeline.incr(key)
            try:
                equal(pipeline.execute(), [1] * 100)
                equal(r.exists(*EVERY_SLOT[:100]), 100)
            except redis.ResponseError as error:
                true(number == 0 and "slotway_version" in r.info("server"), f"only a sharded server refuses: {error}")
                true("same slot" in str(error) and "hash tag" in str(error), f"{error} names a way out")
                equal(r.exists(*EVERY_SLOT[:100]), 0)
        r.flushdb()


@connection("the databases are apart")
def _():
    clients = [connect(db=number) for number in (0, 1, 2, 15)]
    clients[0].flushall()
    for number, client in enumerate(clients):
        client.set("who", number)
    equal([client.get("who") for client in clients], [b"0", b"1", b"2", b"3"])
    equal([client.dbsize() for client in clients], [1, 1, 1, 1])
    clients[1].flushdb()
    equal([client.dbsize() for client in clients], [1, 0, 1, 1])
    clients[0].set("moved", "x")
    raises(redis.ResponseError, "DB index is out of range", connect(db=16).ping)
    clients[0].flushall()
    equal([client.dbsize() for client in clients], [0, 0, 0, 0])


@connection("what needs several keys works over the whole of a database from 1 to 15")
def _():
    r = connect(db=3)
    r.flushdb()
    equal(r.msetnx({"a": 1, "b": 2, "c": 3}), True)
    equal(r.rename("a", "d"), True)
    equal(r.copy("b", "e"), True)
    equal(r.mget("a", "b", "c", "d", "e"), [None, b"2", b"3", b"1", b"2"])
    r.flushdb()


@connection("keys of several slots that one command needs together are refused with a way out, or served")
def _():
    r = connect()
    r.flushdb()
    try:
        equal(r.msetnx({"a": 1, "b": 2, "c": 3}), True)
    except redis.ResponseError as error:
        true("slotway_version" in r.info("server"), f"only a sharded server refuses: {error}")
        true("same slot" in str(error) and "hash tag" in str(error), f"{error} names a way out")
        equal(r.exists("a", "b", "c"), 0)
    r.flushdb()


@connection("names and the library's version are seen by CLIENT LIST")
def _():
    r = connect(client_name="a-name", single_connection_client=True)
    equal(r.client_getname(), "a-name")
    equal(r.client_setname("another"), True)
    equal(r.client_getname(), "another")
    true(r.client_id() > 0, "CLIENT ID is a number")
    mine = [client for client in r.client_list() if client["name"] == "another"]
    equal(len(mine), 1)
    equal(int(mine[0]["id"]), r.client_id())
    # 7.0 does not know them; 7.2 does.
    if "lib-name" in mine[0]:
        true(mine[0]["lib-name"].startswith("redis-py"), f"lib-name is {mine[0]['lib-name']}")
        equal(mine[0]["lib-ver"], redis.__version__)
    equal(r.client_info()["name"], "another")


@connection("INFO, CONFIG, COMMAND and TIME answer")
def _():
    r = connect()
    info = r.info()
    equal([info["redis_mode"], info["role"], info["loading"]], ["standalone", "master", 0])
    true(info["redis_version"].startswith("7."), info["redis_version"])
    true(info["connected_clients"] >= 1, "this client is counted")
    true("used_memory" in info and "total_commands_processed" in info, "the usual fields are there")
    equal(r.config_get("maxmemory-policy"), {"maxmemory-policy": "noeviction"})
    equal(r.config_get("databases")["databases"], "16")
    equal(r.command_count(), len(r.command()))
    true("get" in r.command(), "COMMAND")
    seconds, microseconds = r.time()
    true(seconds > 1_600_000_000 and 0 <= microseconds < 1_000_000, "TIME")
    r.set("counted", 1)
    true(r.info("keyspace")["db0"]["keys"] >= 1, "INFO keyspace counts")


@connection("a pool serves many threads")
def _():
    pool = redis.BlockingConnectionPool(host=HOST, port=port(), max_connections=8)
    errors = []

    def work(number):
        try:
            r = redis.Redis(connection_pool=pool)
            for turn in range(100):
                r.incr("shared counter")
                r.set(f"own:{number}:{turn}", turn)
                equal(r.get(f"own:{number}:{turn}"), str(turn).encode())
        except BaseException as error:
            errors.append(error)

    connect().delete("shared counter")
    threads = [threading.Thread(target=work, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(errors, [])
    equal(connect().get("shared counter"), b"2000")
    pool.disconnect()


@connection("asyncio clients work")
def _():
    async def work():
        r = redis.asyncio.Redis(host=HOST, port=port(), decode_responses=True)
        await r.flushdb()
        async with r.pipeline(transaction=False) as pipeline:
            for number in range(1000):
                pipeline.set(f"async:{number}", number)
            equal(await pipeline.execute(), [True] * 1000)
        found = await asyncio.gather(*(r.get(f"async:{number}") for number in range(50)))
        equal(found, [str(number) for number in range(50)])
        equal(len([key async for key in r.scan_iter(count=200)]), 1000)
        await r.hset("h", mapping={"a": "1"})
        equal(await r.hgetall("h"), {"a": "1"})
        await r.aclose()

    asyncio.run(work())


@connection("a client whose connection was closed connects again")
def _():
    r = connect(
        single_connection_client=True,
        retry=Retry(NoBackoff(), 3),
        retry_on_error=[redis.ConnectionError],
        health_check_interval=1,
    )
    first = r.client_id()
    equal(connect().client_kill_filter(_id=str(first)), 1)
    equal(r.ping(), True)
    true(r.client_id() != first, "it is a new connection")


@connection("URLs and user names without a password are accepted")
def _():
    equal(redis.Redis.from_url(f"redis://{HOST}:{port()}/2?client_name=by-url").client_getname(), "by-url")
    # As long as no password is set the default user takes any.
    equal(connect(username="default", password="anything").ping(), True)
    refused(username="nobody", password="x")


@connection("a password is asked for, and the right one is taken")
def _():
    r = connect(single_connection_client=True)
    equal(r.config_set("requirepass", "a secret"), True)
    try:
        refused()
        refused(password="wrong")
        refused(protocol=2)
        for more in [{"password": "a secret"}, {"username": "default", "password": "a secret"}]:
            for protocol in [2, 3]:
                equal(connect(protocol=protocol, **more).ping(), True)
    finally:
        connect(password="a secret").config_set("requirepass", "")
    equal(connect().ping(), True)


def main():
    require_major("redis-py", redis.__version__)
    for way in WAYS:
        client = connect(**way)
        client.flushall()
        data.run(f"with {way or 'the defaults'}: ", client)
        client.close()
    connection.run()


main()
