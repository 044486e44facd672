// node-redis in plain mode: one server, whatever stands behind it.
//
// All checks of data run with the defaults of the library, in both protocols, and in other databases.

import {
  Checks, SLOTS, aKeyForEverySlot, equal, eventually, everyByte, fields, host, library, port, rejects, yes,
} from './checks.mjs';

const { RESP_TYPES, ErrorReply, createClient, createClientPool, version } = library('redis');

const ways = [{}, { RESP: 2 }, { RESP: 3 }, { database: 1 }, { RESP: 3, database: 15 }];

const everySlot = aKeyForEverySlot();
const data = new Checks();
const connection = new Checks();
const reply = (error) => error instanceof ErrorReply;

async function connect(more = {}) {
  const client = createClient({ socket: { host, port }, ...more });
  client.on('error', () => {});
  return client.connect();
}

data.check('ping and echo are answered', async (r) => {
  equal(await r.ping(), 'PONG');
  equal(await r.echo('hello there'), 'hello there');
});

data.check('strings and counters work', async (r) => {
  await r.del(['s', 'n', 'f']);
  equal(await r.set('s', 'hello'), 'OK');
  equal(await r.get('s'), 'hello');
  equal(await r.get('never set'), null);
  equal(await r.set('s', 'x', { condition: 'NX' }), null);
  equal(await r.set('s', 'x', { expiration: { type: 'EX', value: 100 }, GET: true }), 'hello');
  yes((await r.ttl('s')) > 90, 'EX set a deadline');
  equal(await r.append('s', 'yz'), 3);
  equal(await r.getRange('s', 1, -1), 'yz');
  equal(await r.strLen('s'), 3);
  equal(await r.getDel('s'), 'xyz');
  equal([await r.incr('n'), await r.incrBy('n', 41), await r.decr('n')], [1, 42, 41]);
  equal(await r.incrByFloat('f', 2.5), '2.5');
});

data.check('MSET and MGET work over all slots, in order', async (r) => {
  equal(await r.mSet(everySlot.map((key) => [key, `of ${key}`])), 'OK');
  equal(await r.mGet(everySlot), everySlot.map((key) => `of ${key}`));
  equal(await r.mGet(['none', everySlot[7], 'none']), [null, `of ${everySlot[7]}`, null]);
  equal(await r.exists([...everySlot, everySlot[0]]), SLOTS + 1);
  equal(await r.unlink(everySlot.slice(0, 100)), 100);
  equal(await r.del(everySlot), SLOTS - 100);
});

data.check('an iterator over SCAN finds every key', async (r) => {
  await r.flushDb();
  await r.mSet(Array.from({ length: 3000 }, (_, at) => [`scanned:${at}`, `${at}`]));
  const found = new Set();
  for await (const keys of r.scanIterator({ MATCH: 'scanned:*', COUNT: 300 })) keys.forEach((key) => found.add(key));
  equal(found.size, 3000);
  equal(await r.dbSize(), 3000);
  equal((await r.keys('scanned:29*')).length, 111);
  await r.flushDb();
  equal(await r.dbSize(), 0);
});

data.check('keys live as long as they were told to', async (r) => {
  await r.set('mortal', 'x', { expiration: { type: 'PX', value: 40 } });
  await eventually(async () => (await r.get('mortal')) === null, 'a key with 40 ms is gone');
  await r.set('mortal', 'x');
  equal(await r.expire('mortal', 100), 1);
  yes((await r.pTTL('mortal')) > 90_000, 'PTTL');
  equal(await r.persist('mortal'), 1);
  equal(await r.ttl('mortal'), -1);
});

data.check('hashes work', async (r) => {
  await r.del(['h', 'big']);
  equal(await r.hSet('h', { one: '1', two: '2' }), 2);
  equal(await r.hGet('h', 'one'), '1');
  equal(await r.hGetAll('h'), { one: '1', two: '2' });
  equal(await r.hGetAll('none'), {});
  equal(await r.hmGet('h', ['two', 'none']), ['2', null]);
  equal([await r.hIncrBy('h', 'one', 4), await r.hLen('h'), await r.hDel('h', ['one', 'x'])], [5, 2, 1]);
  equal(await r.hSet('big', fields(2000)), 2000);
  const found = new Map();
  for await (const part of r.hScanIterator('big', { COUNT: 100 })) {
    for (const { field, value } of part) found.set(field, value);
  }
  equal(Object.fromEntries(found), await r.hGetAll('big').then((all) => ({ ...all })));
  equal(found.size, 2000);
});

data.check('keys and values are any bytes', async (r) => {
  const binary = r.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
  for (const key of [everyByte, Buffer.from('\r\n'), Buffer.from([0]), Buffer.from('$5\r\nhello\r\n')]) {
    await binary.set(key, everyByte);
    equal(await binary.get(key), everyByte);
    equal(await r.del(key), 1);
  }
});

data.check('large values come back whole', async (r) => {
  for (const size of [65_535, 65_536, 65_537, 5_000_000]) {
    const value = 'x'.repeat(size);
    equal(await r.set('large', value), 'OK');
    yes((await r.get('large')) === value, `${size} bytes are the same`);
  }
  equal(await r.del('large'), 1);
});

data.check('commands sent together are answered in order', async (r) => {
  const found = await Promise.all(everySlot.flatMap((key) => [r.set(key, key), r.get(key)]));
  equal(found, everySlot.flatMap((key) => ['OK', key]));
  const pipeline = r.multi();
  for (const key of everySlot.slice(0, 500)) pipeline.get(key);
  equal(await pipeline.execAsPipeline(), everySlot.slice(0, 500));
  const numbers = Array.from({ length: 5000 }, (_, at) => at + 1);
  equal(await Promise.all(numbers.map(() => r.incr('counter'))), numbers);
  await r.flushDb();
});

data.check('errors are ErrorReplies', async (r) => {
  await r.set('word', 'abc');
  await rejects(reply, 'WRONGTYPE Operation against a key', r.hGet('word', 'x'));
  await rejects(reply, 'ERR value is not an integer or out of range', r.incr('word'));
  await rejects(reply, "ERR unknown command 'NOSUCH', with args beginning with: 'a' ", r.sendCommand(['NOSUCH', 'a']));
  await rejects(reply, "ERR wrong number of arguments for 'get' command", r.sendCommand(['GET']));
  await rejects(reply, 'ERR syntax error', r.sendCommand(['SET', 'a', 'b', 'BAD']));
  equal(await r.ping(), 'PONG');
});

data.check('transactions run as one, also large and watched ones', async (r) => {
  await r.del(['{tx}a', '{tx}n']);
  equal(await r.multi().set('{tx}a', '1').incr('{tx}a').echo('hello').get('{tx}none').exec(), ['OK', 2, 'hello', null]);
  const multi = r.multi();
  for (let turn = 0; turn < 2500; turn += 1) multi.incr('{tx}n');
  equal(await multi.exec(), Array.from({ length: 2500 }, (_, at) => at + 1));
  const alone = r.duplicate();
  await alone.connect();
  await alone.watch('{tx}a');
  await r.set('{tx}a', 'changed');
  const refused = await alone.multi().set('{tx}a', 'never').exec().then(() => null, (error) => error);
  equal(refused?.constructor?.name, 'WatchError');
  await alone.watch('{tx}a');
  equal(await alone.multi().set('{tx}a', 'again').exec(), ['OK']);
  equal(await r.get('{tx}a'), 'again');
  await alone.close();
});

connection.check('the databases are apart, also by SELECT on one connection', async () => {
  const r = await connect();
  await r.flushAll();
  for (const db of [0, 1, 9]) {
    await r.select(db);
    await r.set('who', `${db}`);
    equal(await r.dbSize(), 1);
  }
  await r.select(1);
  equal(await r.get('who'), '1');
  await rejects(reply, 'ERR DB index is out of range', r.sendCommand(['SELECT', '16']));
  const other = await connect({ database: 9 });
  equal(await other.get('who'), '9');
  await r.flushAll();
  await Promise.all([r.close(), other.close()]);
});

connection.check('the name of the connection and of the library are known', async () => {
  const r = await connect({ name: 'a-name' });
  equal(await r.clientGetName(), 'a-name');
  const mine = (await r.clientList()).find((client) => client.name === 'a-name');
  yes(mine !== undefined, 'CLIENT LIST has this client');
  // 7.0 does not know them; 7.2 does.
  if (mine.libName) yes(mine.libName.startsWith('node-redis'), mine.libName);
  yes(version.length > 0, 'a version');
  await r.close();
});

connection.check('a pool of clients works', async () => {
  const pool = createClientPool({ socket: { host, port } }, { maximum: 8 });
  pool.on('error', () => {});
  await pool.connect();
  const numbers = Array.from({ length: 1000 }, (_, at) => at);
  equal(await Promise.all(numbers.map((at) => pool.set(`pool:${at}`, `${at}`))), numbers.map(() => 'OK'));
  equal(await Promise.all(numbers.map((at) => pool.get(`pool:${at}`))), numbers.map(String));
  await pool.close();
});

connection.check('a client whose connection was closed connects again', async () => {
  const [r, other] = await Promise.all([connect(), connect()]);
  const first = await r.clientId();
  equal(await other.sendCommand(['CLIENT', 'KILL', 'ID', `${first}`]), 1);
  await eventually(async () => (await r.clientId().catch(() => first)) !== first, 'it is a new connection');
  equal(await r.set('again', 'x'), 'OK');
  await Promise.all([r.close(), other.close()]);
});

connection.check('a password is asked for, and the right one is taken', async () => {
  const r = await connect();
  equal(await r.configSet('requirepass', 'a secret'), 'OK');
  try {
    for (const more of [{}, { password: 'wrong' }, { username: 'nobody', password: 'a secret' }]) {
      const stranger = createClient({ socket: { host, port, reconnectStrategy: false }, ...more });
      stranger.on('error', () => {});
      const got = stranger.connect().then(() => stranger.get('x'));
      yes(await got.then(() => false, () => true), `refused with ${JSON.stringify(more)}`);
      if (stranger.isOpen) stranger.destroy();
    }
    for (const more of [{ password: 'a secret' }, { username: 'default', password: 'a secret', RESP: 3 }]) {
      const friend = await connect(more);
      equal(await friend.ping(), 'PONG');
      await friend.close();
    }
  } finally {
    await r.configSet('requirepass', '');
  }
  await r.close();
});

connection.check('a URL names server and database', async () => {
  const r = await createClient({ url: `redis://${host}:${port}/2` }).connect();
  equal(await r.set('by url', 'x'), 'OK');
  equal(await r.dbSize(), 1);
  await r.flushDb();
  await r.close();
});

for (const way of ways) {
  const r = await connect(way);
  await r.flushAll();
  await data.run(`with ${JSON.stringify(way)}: `, r);
  await r.close();
}
await connection.run('');
