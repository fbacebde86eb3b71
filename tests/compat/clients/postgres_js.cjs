// postgres.js ("postgres"): connects by each case on stdin and looks where it is; then cancels a statement with and without TLS.
const assert = require('node:assert');
const fs = require('node:fs');
const postgres = require('postgres');

const given = JSON.parse(fs.readFileSync(0, 'utf8'));
const authority = fs.readFileSync(given.authority, 'utf8');

function connect(one) {
  return postgres({
    host: '127.0.0.1', port: given.port, password: given.password, user: one.user, database: one.database, max: 1,
    connection: one.options ? { options: one.options } : {},
    ssl: one.tls ? { ca: authority, servername: one.name, rejectUnauthorized: true } : false,
  });
}

async function look(one) {
  const sql = connect(one);
  const rows = await sql`SELECT current_setting('pgtwig.branch') AS branch, name FROM here`;
  assert.deepStrictEqual([...rows], [{ branch: 'demo/dev', name: 'dev' }], one.rule);
  const [large] = await sql`SELECT repeat('x', ${10 << 20}) AS text`;
  assert.strictEqual(large.text.length, 10 << 20);
  await sql.end();
}

async function cancel(one) {
  const sql = connect(one);
  const watcher = connect(one);
  const query = sql`SELECT pg_sleep(100), 'slow'`;
  const slow = query.then(() => null, (error) => error);
  for (;;) {
    const rows = await watcher`
      SELECT 1 FROM pg_stat_activity WHERE query LIKE '%slow%' AND state = 'active' AND pid <> pg_backend_pid()`;
    if (rows.length) break;
  }
  query.cancel();
  const error = await slow;
  assert.strictEqual(error && error.code, '57014');
  await sql.end();
  await watcher.end();
}

async function main() {
  for (const one of given.cases) await look(one);
  await cancel(given.cases[0]);
  await cancel(given.cases[1]);
  console.log(`${given.cases.length} cases and 2 cancels`);
}

main().catch((error) => { console.error(error); process.exit(1); });
