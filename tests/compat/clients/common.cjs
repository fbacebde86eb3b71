// What the programs for node's drivers have in common: the cases on stdin, and the order of things.
const assert = require('node:assert');
const fs = require('node:fs');

const given = JSON.parse(fs.readFileSync(0, 'utf8'));
const authority = fs.readFileSync(given.authority, 'utf8');

// Of a case, as both drivers name them; `options` alone they take differently.
exports.settings = (one) => ({
  host: '127.0.0.1', port: given.port, password: given.password, user: one.user, database: one.database,
  ssl: one.tls ? { ca: authority, servername: one.name, rejectUnauthorized: true } : false,
});

exports.where = "SELECT current_setting('pgtwig.branch') AS branch, name FROM here";
exports.there = [{ branch: 'demo/dev', name: 'dev' }];
exports.large = 10 << 20;
exports.slow = "SELECT pg_sleep(100), 'slow'";
const running = "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%slow%' AND state = 'active' AND pid <> pg_backend_pid()";

// `statement` is under way, or about to be; `ask` returns another session's rows.
exports.checkCancel = async (statement, ask, cancel) => {
  const slow = statement.then(() => null, (error) => error);
  while ((await ask(running)).length === 0);
  await cancel();
  const error = await slow;
  assert.strictEqual(error && error.code, '57014');
};

// Looks where each case leads, then cancels a statement with and without TLS.
exports.main = async (look, cancel) => {
  try {
    for (const one of given.cases) await look(one);
    await cancel(given.cases[0]);
    await cancel(given.cases[1]);
    console.log(`${given.cases.length} cases and 2 cancels`);
  } catch (error) {
    console.error(error);
    process.exit(1);
  }
};
