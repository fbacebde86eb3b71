// node-postgres ("pg"): connects by each case on stdin and looks where it is; then cancels a statement with and without TLS.
const assert = require('node:assert');
const { Client } = require('pg');
const { settings, where, there, large, slow, checkCancel, main } = require('./common.cjs');

async function connect(one) {
  const client = new Client({ ...settings(one), options: one.options || undefined });
  await client.connect();
  return client;
}

async function look(one) {
  const client = await connect(one);
  assert.deepStrictEqual((await client.query(where)).rows, there, one.rule);
  const { rows } = await client.query({ text: "SELECT repeat('x', $1) AS text", values: [large] });
  assert.strictEqual(rows[0].text.length, large);
  await client.end();
}

async function cancel(one) {
  const client = await connect(one);
  const watcher = await connect(one);
  await checkCancel(client.query(slow), async (text) => (await watcher.query(text)).rows, async () => {
    const canceller = new Client(settings(one));
    const closed = new Promise((resolve) => canceller.connection.once('end', resolve));
    canceller.connection.on('error', () => {});
    canceller.cancel(client, client.activeQuery);
    await closed;
  });
  await client.end();
  await watcher.end();
}

main(look, cancel);
