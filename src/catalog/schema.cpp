#include "catalog/schema.h"

#include <SQLiteCpp/Statement.h>
#include <SQLiteCpp/Transaction.h>
#include <fmt/format.h>

#include <array>

#include "base/error.h"
#include "catalog/connection.h"

namespace pgtwig::catalog {
namespace {

// "pgtw": tells a catalog from any other SQLite database.
constexpr int application_id = 0x70677477;

// The script at index n leads from schema version n to n + 1. A script that was released is never changed.
//
// Times are microseconds since 1970, durations seconds, settings JSON objects, lists JSON arrays, LSNs as PostgreSQL
// writes them. Foreign keys are checked at the commit, so that a transaction may remove or swap things in any order.
constexpr std::array migrations = {
    R"sql(
CREATE TABLE installation (
  id TEXT NOT NULL PRIMARY KEY
) STRICT;

CREATE TABLE pools (
  id          TEXT    NOT NULL PRIMARY KEY,
  name        TEXT    NOT NULL UNIQUE,
  driver      TEXT    NOT NULL,
  directory   TEXT    NOT NULL,
  image       TEXT    NOT NULL,
  mount_point TEXT    NOT NULL,
  created_at  INTEGER NOT NULL
) STRICT;

CREATE TABLE projects (
  id         TEXT    NOT NULL PRIMARY KEY,
  name       TEXT    NOT NULL UNIQUE,
  pool       TEXT    NOT NULL REFERENCES pools (id) DEFERRABLE INITIALLY DEFERRED,
  pg_major   INTEGER NOT NULL,
  runtime    TEXT    NOT NULL,
  settings   TEXT    NOT NULL CHECK (json_valid(settings)),
  created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE branches (
  id                      TEXT    NOT NULL PRIMARY KEY,
  project                 TEXT    NOT NULL REFERENCES projects (id) DEFERRABLE INITIALLY DEFERRED,
  name                    TEXT    NOT NULL,
  parent                  TEXT    REFERENCES branches (id) DEFERRABLE INITIALLY DEFERRED,
  incarnation             TEXT    NOT NULL UNIQUE,
  host                    TEXT    NOT NULL,
  port                    INTEGER NOT NULL CHECK (port BETWEEN 0 AND 65535),
  wants_running           INTEGER NOT NULL CHECK (wants_running IN (0, 1)),
  durability              TEXT    NOT NULL CHECK (durability IN ('full', 'relaxed', 'none')),
  settings                TEXT    NOT NULL CHECK (json_valid(settings)),
  password                TEXT    NOT NULL,
  held_back               TEXT    NOT NULL CHECK (json_valid(held_back)),
  allowed                 TEXT    NOT NULL CHECK (json_valid(allowed)),
  maybe_has_subscriptions INTEGER NOT NULL CHECK (maybe_has_subscriptions IN (0, 1)),
  origin_branch           TEXT    NOT NULL,
  origin_snapshot         TEXT    NOT NULL,
  origin_lsn              TEXT    NOT NULL,
  origin_time             INTEGER NOT NULL,
  created_at              INTEGER NOT NULL,
  expires_at              INTEGER,
  UNIQUE (project, name)
) STRICT;
CREATE UNIQUE INDEX branches_by_port ON branches (host, port) WHERE port <> 0;
CREATE INDEX branches_by_parent ON branches (parent);

CREATE TABLE sweep_list (
  volume    TEXT    NOT NULL PRIMARY KEY,
  pool      TEXT    NOT NULL REFERENCES pools (id) DEFERRABLE INITIALLY DEFERRED,
  pg_major  INTEGER NOT NULL,
  operation TEXT    NOT NULL,
  staged    INTEGER NOT NULL CHECK (staged IN (0, 1))
) STRICT;

CREATE TABLE operations (
  sequence      INTEGER PRIMARY KEY AUTOINCREMENT,
  id            TEXT    NOT NULL UNIQUE,
  kind          TEXT    NOT NULL,
  target        TEXT    NOT NULL,
  state         TEXT    NOT NULL CHECK (state IN ('running', 'done', 'failed')),
  steps         TEXT    NOT NULL CHECK (json_valid(steps)),
  error_code    TEXT    NOT NULL,
  error_message TEXT    NOT NULL,
  started_at    INTEGER NOT NULL,
  finished_at   INTEGER
) STRICT;
)sql",
    // A branch's present body is the only one that version 1 knows, and nothing of its past can be recovered: it begins
    // with itself. Whose it was made of is certain only if the parent still has the body of then.
    R"sql(
CREATE TABLE incarnations (
  id          TEXT    NOT NULL PRIMARY KEY,
  project     TEXT    NOT NULL REFERENCES projects (id) DEFERRABLE INITIALLY DEFERRED,
  branch      TEXT    NOT NULL REFERENCES branches (id) DEFERRABLE INITIALLY DEFERRED,
  cause       TEXT    NOT NULL CHECK (cause IN ('create', 'reset', 'restore')),
  source      TEXT,
  origin      TEXT    NOT NULL,
  source_time INTEGER NOT NULL,
  own_from    TEXT    NOT NULL,
  timeline    INTEGER NOT NULL CHECK (timeline BETWEEN 1 AND 4294967295),
  began_at    INTEGER NOT NULL,
  ended_at    INTEGER,
  snapshot    TEXT
) STRICT;
CREATE INDEX incarnations_by_branch ON incarnations (branch, began_at);
CREATE INDEX incarnations_by_project ON incarnations (project, began_at);

CREATE TABLE snapshots (
  id                      TEXT    NOT NULL PRIMARY KEY,
  project                 TEXT    NOT NULL REFERENCES projects (id) DEFERRABLE INITIALLY DEFERRED,
  branch                  TEXT    NOT NULL REFERENCES branches (id) DEFERRABLE INITIALLY DEFERRED,
  incarnation             TEXT    NOT NULL,
  name                    TEXT    NOT NULL,
  message                 TEXT    NOT NULL,
  kind                    TEXT    NOT NULL CHECK (kind IN ('manual', 'scheduled', 'restore')),
  redo                    TEXT    NOT NULL,
  end_lsn                 TEXT    NOT NULL,
  timeline                INTEGER NOT NULL CHECK (timeline BETWEEN 1 AND 4294967295),
  next_xid                INTEGER NOT NULL CHECK (next_xid >= 0),
  password                TEXT    NOT NULL,
  held_back               TEXT    NOT NULL CHECK (json_valid(held_back)),
  maybe_has_subscriptions INTEGER NOT NULL CHECK (maybe_has_subscriptions IN (0, 1)),
  created_at              INTEGER NOT NULL,
  UNIQUE (branch, name)
) STRICT;
CREATE INDEX snapshots_by_branch ON snapshots (branch, created_at);
CREATE INDEX snapshots_by_project ON snapshots (project, created_at);

CREATE TABLE schedules (
  branch TEXT    NOT NULL PRIMARY KEY REFERENCES branches (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
  every  INTEGER NOT NULL CHECK (every >= 0),
  keep   TEXT    NOT NULL
) STRICT;

INSERT INTO incarnations
SELECT body.incarnation, body.project, body.id, 'create', source.incarnation, body.origin_branch, body.origin_time,
       '0/0', 1, max(body.created_at, body.origin_time), NULL, NULL
FROM branches AS body
JOIN projects ON projects.id = body.project
LEFT JOIN branches AS source ON source.id = body.parent AND source.origin_time <= body.origin_time
                            AND body.origin_branch = projects.name || '/' || source.name;
)sql",
    // Sleep: branches that rest until somebody connects, and the one that the endpoint leads to.
    R"sql(
ALTER TABLE projects ADD COLUMN suspend_after INTEGER CHECK (suspend_after >= 0);
ALTER TABLE branches ADD COLUMN is_suspended INTEGER NOT NULL DEFAULT 0
  CHECK (is_suspended = 0 OR (is_suspended = 1 AND wants_running = 0));
ALTER TABLE branches ADD COLUMN suspend_after INTEGER CHECK (suspend_after >= 0);
ALTER TABLE installation ADD COLUMN selected_branch TEXT
  REFERENCES branches (id) ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED;
)sql",
    // Containers: the image of a project, what its user accepted of it, and what a branch may use at most.
    R"sql(
ALTER TABLE projects ADD COLUMN image TEXT NOT NULL DEFAULT 'null' CHECK (json_valid(image));
ALTER TABLE projects ADD COLUMN accepted_collations TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(accepted_collations));
ALTER TABLE branches ADD COLUMN cpus TEXT NOT NULL DEFAULT '';
ALTER TABLE branches ADD COLUMN memory TEXT NOT NULL DEFAULT '';
)sql",
    // The configuration files that a project's user keeps himself.
    R"sql(
ALTER TABLE projects ADD COLUMN files TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(files));
)sql",
};

constexpr int newest_version = static_cast<int>(migrations.size());

int pragma_value(SQLite::Database& database, const char* pragma) {
  return database.execAndGet(fmt::format("PRAGMA {}", pragma)).getInt();
}

}  // namespace

void migrate(SQLite::Database& database, const std::filesystem::path& file, const InstallationId& new_installation) {
  int version = pragma_value(database, "user_version");
  bool is_empty = database.execAndGet("SELECT count(*) FROM sqlite_schema").getInt() == 0;
  if (!is_empty && pragma_value(database, "application_id") != application_id) {
    throw damaged(file, "it is another program's database");
  }
  if (version > newest_version) {
    throw Error(ErrorCode::conflict,
                fmt::format("the catalog {} was written by a newer pgtwig (schema {}, this one knows up to {})",
                            file.string(), version, newest_version),
                "install that newer pgtwig again; an older one can't read its catalog");
  }
  if (version == newest_version && !is_empty) return;
  if (version == 0 && !is_empty) throw damaged(file, "it has tables but no schema version");

  SQLite::Transaction transaction(database, SQLite::TransactionBehavior::IMMEDIATE);
  for (int step = version; step < newest_version; ++step) database.exec(migrations[step]);
  if (is_empty) {
    SQLite::Statement insert(database, "INSERT INTO installation (id) VALUES (?)");
    insert.bind(1, new_installation.text());
    insert.exec();
  }
  database.exec(fmt::format("PRAGMA application_id = {}", application_id));
  database.exec(fmt::format("PRAGMA user_version = {}", newest_version));
  transaction.commit();
}

}  // namespace pgtwig::catalog
