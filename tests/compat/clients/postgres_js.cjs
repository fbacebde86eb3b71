// postgres.js ("postgres"): connects by each case on stdin and looks where it is; then cancels a statement with and without TLS.
const assert = require('node:assert');
const postgres = require('postgres');
const { settings, where, there, large, slow, checkCancel, main } = require('./common.cjs');

function connect(one) {
  return postgres({ ...settings(one), max: 1, connection: one.options ? { options: one.options } : {} });
}

async function look(one) {
  const sql = connect(one);
  assert.deepStrictEqual([...await sql.unsafe(where)], there, one.rule);
  const [row] = await sql`SELECT repeat('x', ${large}) AS text`;
  assert.strictEqual(row.text.length, large);
  await sql.end();
}

async function cancel(one) {
  const sql = connect(one);
  const watcher = connect(one);
  const query = sql.unsafe(slow);
  await checkCancel(query, (text) => watcher.unsafe(text), () => query.cancel());
  await sql.end();
  await watcher.end();
}

main(look, cancel);
