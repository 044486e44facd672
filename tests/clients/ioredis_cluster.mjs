// ioredis in cluster mode: it asks for the slots, finds the proxies as their owners, and works with every slot.

import { Checks, aKeyForEverySlot, equal, host, library, major, port, rejects, yes } from './checks.mjs';

const { Cluster, ReplyError } = library('ioredis');

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
  const nodes = r.nodes('master');
  yes(nodes.length >= 1, 'there is one');
  const sizes = await Promise.all(nodes.map((node) => node.dbsize()));
  yes(sizes.reduce((sum, size) => sum + size, 0) >= everySlot.length, `their sizes ${sizes} make the whole`);
  equal(await r.mget('{tag}a', '{tag}b'), [null, null]);
});

checks.check('pipelines of one slot, hashes and deadlines work', async (r) => {
  const found = await r.pipeline().set('{p}a', 1).incr('{p}a').hset('{p}h', { x: '1' }).hgetall('{p}h').exec();
  equal(found.map(([error]) => error), [null, null, null, null]);
  equal([found[1][1], { ...found[3][1] }], [2, { x: '1' }]);
  equal(await r.expire('{p}a', 100), 1);
  yes((await r.ttl('{p}a')) > 90, 'TTL');
});

checks.check('errors are ReplyErrors', async (r) => {
  await r.set('word', 'abc');
  await rejects((error) => error instanceof ReplyError, 'WRONGTYPE', r.hget('word', 'x'));
});

const ways = [{}, { enableAutoPipelining: true }];
if (major >= 6) ways.push({ redisOptions: { protocol: 2 } });
for (const way of ways) {
  const r = new Cluster([{ host, port }], way);
  await r.flushall();
  await checks.run(`with ${JSON.stringify(way)}: `, r);
  await r.quit();
}
