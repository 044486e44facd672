// node-redis in cluster mode: it asks for the slots, finds the proxies as their owners, and works with every slot.

import { Checks, aKeyForEverySlot, equal, host, library, port, rejects, yes } from './checks.mjs';

const { ErrorReply, createCluster } = library('redis');

const everySlot = aKeyForEverySlot();
const checks = new Checks();

checks.check('a value in every slot is written and read', async (r) => {
  for (let at = 0; at < everySlot.length; at += 1000) {
    const keys = everySlot.slice(at, at + 1000);
    equal(await Promise.all(keys.map((key) => r.set(key, `of ${key}`))), keys.map(() => 'OK'));
    equal(await Promise.all(keys.map((key) => r.get(key))), keys.map((key) => `of ${key}`));
  }
});

checks.check('the nodes it found serve all keys', async (r) => {
  yes(r.masters.length >= 1, 'there is one');
  const sizes = await Promise.all(r.masters.map(async (node) => (await r.nodeClient(node)).dbSize()));
  yes(sizes.reduce((sum, size) => sum + size, 0) >= everySlot.length, `their sizes ${sizes} make the whole`);
  equal(await r.mGet(['{tag}a', '{tag}b']), [null, null]);
});

checks.check('hashes, counters and deadlines work', async (r) => {
  await r.del('h');
  equal(await r.hSet('h', { a: '1', b: '2' }), 2);
  equal(await r.hGetAll('h'), { a: '1', b: '2' });
  equal([await r.incr('n'), await r.incr('n')], [1, 2]);
  equal(await r.expire('n', 100), 1);
  yes((await r.ttl('n')) > 90, 'TTL');
  equal(await r.del('n'), 1);
});

checks.check('errors are ErrorReplies', async (r) => {
  await r.set('word', 'abc');
  await rejects((error) => error instanceof ErrorReply, 'WRONGTYPE', r.hGet('word', 'x'));
});

for (const way of [{}, { RESP: 2 }, { RESP: 3 }]) {
  const r = createCluster({ rootNodes: [{ socket: { host, port } }], ...way });
  r.on('error', () => {});
  await r.connect();
  await Promise.all(r.masters.map(async (node) => (await r.nodeClient(node)).flushAll()));
  await checks.run(`with ${JSON.stringify(way)}: `, r);
  await r.close();
}
