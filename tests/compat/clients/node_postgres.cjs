// node-postgres ("pg"): connects by each case on stdin and looks where it is; then cancels a statement with and without TLS.
const assert = require('node:assert');
const fs = require('node:fs');
const { Client } = require('pg');

const given = JSON.parse(fs.readFileSync(0, 'utf8'));
const authority = fs.readFileSync(given.authority, 'utf8');

function settings(one) {
  return {
    host: '127.0.0.1', port: given.port, password: given.password, user: one.user, database: one.database,
    options: one.options || undefined,
    ssl: one.tls ? { ca: authority, servername: one.name, rejectUnauthorized: true } : false,
  };
}

async function look(one) {
  const client = new Client(settings(one));
  await client.connect();
  const { rows } = await client.query("SELECT current_setting('pgtwig.branch') AS branch, name FROM here");
  assert.deepStrictEqual(rows, [{ branch: 'demo/dev', name: 'dev' }], one.rule);
  const large = await client.query({ text: "SELECT repeat('x', $1) AS text", values: [10 << 20] });
  assert.strictEqual(large.rows[0].text.length, 10 << 20);
  await client.end();
}

async function cancel(one) {
  const client = new Client(settings(one));
  const watcher = new Client(settings(one));
  await client.connect();
  await watcher.connect();
  const slow = client.query("SELECT pg_sleep(100), 'slow'").then(() => null, (error) => error);
  for (;;) {
    const { rows } = await watcher.query(
      "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%slow%' AND state = 'active' AND pid <> pg_backend_pid()");
    if (rows.length) break;
  }
  const canceller = new Client(settings(one));
  const closed = new Promise((resolve) => canceller.connection.once('end', resolve));
  canceller.connection.on('error', () => {});
  canceller.cancel(client, client.activeQuery);
  await closed;
  const error = await slow;
  assert.strictEqual(error && error.code, '57014');
  await client.end();
  await watcher.end();
}

async function main() {
  for (const one of given.cases) await look(one);
  await cancel(given.cases[0]);
  await cancel(given.cases[1]);
  console.log(`${given.cases.length} cases and 2 cancels`);
}

main().catch((error) => { console.error(error); process.exit(1); });
