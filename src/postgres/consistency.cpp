// See consistency.h.
#include "postgres/consistency.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/log.h"

namespace pgtwig::postgres {
namespace {

struct ConsistencyName {
  Consistency consistency;
  std::string_view name;
};
constexpr auto consistency_names = std::to_array<ConsistencyName>({{Consistency::automatic, "auto"},
                                                                   {Consistency::checkpoint, "checkpoint"},
                                                                   {Consistency::fast, "fast"},
                                                                   {Consistency::backup, "backup"}});

// Each row is one fact: its kind and its value. Not from pg_settings, which describes all of them first: 2 ms.
constexpr const char* facts_query = R"(
SELECT 'current', CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END::text
UNION ALL SELECT 'redo', redo_lsn::text FROM pg_control_checkpoint()
UNION ALL SELECT name, current_setting(name) FROM unnest('{wal_level,fsync,full_page_writes}'::text[]) name
UNION ALL SELECT 'shared_buffers', pg_size_bytes(current_setting('shared_buffers'))::text
UNION ALL (SELECT 'subscription', subname::text FROM pg_subscription LIMIT 1)
UNION ALL SELECT 'tablespace', spcname || ': ' || location
  FROM pg_tablespace, pg_tablespace_location(oid) location
  WHERE location <> '' AND location NOT LIKE 'pg\_tblspc/%'
UNION ALL SELECT 'prepared', gid FROM pg_prepared_xacts
UNION ALL SELECT 'database', oid || ' ' || datname
  FROM pg_database WHERE datallowconn AND datname NOT IN (current_database(), 'template1')
UNION ALL SELECT 'unlogged', n.nspname || '.' || c.relname
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relpersistence = 'u' AND c.relkind IN ('r', 'm'))";

constexpr const char* unlogged_query = R"(
SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relpersistence = 'u' AND c.relkind IN ('r', 'm'))";

Lsn require_lsn(const std::string& text) {
  const auto lsn = parse_lsn(text);
  if (!lsn) throw Error(ErrorCode::postgres_failed, fmt::format("PostgreSQL said '{}' for an LSN", text));
  return *lsn;
}

void add_fact(SourceFacts& facts, const std::string& kind, const std::string& value) {
  if (kind == "current") facts.current = require_lsn(value);
  if (kind == "redo") facts.redo = require_lsn(value);
  if (kind == "wal_level") facts.wal_level = value;
  if (kind == "fsync") facts.fsync = value == "on";
  if (kind == "full_page_writes") facts.full_page_writes = value == "on";
  if (kind == "shared_buffers") facts.shared_buffers = std::stoull(value);
  if (kind == "subscription") facts.has_subscriptions = true;
  if (kind == "tablespace") facts.external_tablespaces.push_back(value);
  if (kind == "prepared") facts.prepared_transactions.push_back(value);
  if (kind == "unlogged") facts.unlogged_tables.push_back(value);
  if (kind == "database") {
    const auto space = value.find(' ');
    facts.other_databases.emplace(std::stoul(value.substr(0, space)), value.substr(space + 1));
  }
}

// The costs of the two ways, beyond what a start on a checkpointed parent takes. Seen with rate-limited pgbench (200
// and 1,000 a second, scale 30) on a parent with PostgreSQL 15 and 128 MB of shared_buffers on Btrfs, a child with 16
// MB, on two busy cores; a quiet machine is several times as fast in both, so only the relation of the numbers counts:
//
//     WAL since redo        4 MiB    13 MiB    22 MiB    38 MiB    50 MiB    100 MiB    150 MiB
//     with CHECKPOINT         380       390       760       690     1,140      1,090      1,220   ms in all
//     without                 200       440       880       830     1,390      1,430      2,600   ms in all
//
// A CHECKPOINT waits for several syncs between those of the load, and writes at most shared_buffers. Replay reads all
// of the WAL, with few buffers of its own, and ends with a checkpoint, too.
constexpr double checkpoint_base_ms = 150;
constexpr double checkpoint_ms_per_mib = 4;
constexpr double replay_ms_per_mib = 16;

constexpr int first_with_backup_start = 150000;  // before: pg_start_backup

}  // namespace

std::string_view consistency_name(Consistency consistency) {
  return std::ranges::find(consistency_names, consistency, &ConsistencyName::consistency)->name;
}

std::optional<Consistency> parse_consistency(std::string_view text) {
  const auto found = std::ranges::find(consistency_names, text, &ConsistencyName::name);
  if (found == consistency_names.end()) return std::nullopt;
  return found->consistency;
}

SourceFacts read_source_facts(Connection& source) {
  SourceFacts facts;
  for (const Row& row : source.query_prepared(facts_query)) {
    if (row[0] && row[1]) add_fact(facts, *row[0], *row[1]);
  }
  return facts;
}

WalMoment read_wal_moment(Connection& connection) {
  const Row row =
      connection.query("SELECT pg_current_wal_insert_lsn()::text, pg_snapshot_xmax(pg_current_snapshot())::text").at(0);
  return {.end = require_lsn(row.at(0).value_or("")), .next_xid = std::stoull(row.at(1).value_or("0"))};
}

bool has_subscriptions(Connection& connection) {
  return connection.value("SELECT EXISTS (SELECT FROM pg_subscription)") == "t";
}

std::vector<std::string> unlogged_tables(Connection& connection) {
  std::vector<std::string> tables;
  for (const Row& row : connection.query(unlogged_query)) tables.push_back(row.at(0).value_or(""));
  return tables;
}

bool checkpoint_pays(const SourceFacts& facts) {
  const std::uint64_t wal = facts.wal_since_redo();
  const std::uint64_t most_dirty = facts.shared_buffers == 0 ? wal : std::min(wal, facts.shared_buffers);
  const auto mib = [](std::uint64_t bytes) { return static_cast<double>(bytes) / (1 << 20); };
  return checkpoint_base_ms + checkpoint_ms_per_mib * mib(most_dirty) < replay_ms_per_mib * mib(wal);
}

void checkpoint(Connection& source) {
  source.query("CHECKPOINT");
}

Lsn flush_wal(Connection& source) {
  // A commit that waits for its own record to reach the disk, and with it for all before; nothing else in SQL does. The
  // record of the commit itself follows the one whose place is returned.
  return require_lsn(
      source.value("SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() "
                   "ELSE pg_logical_emit_message(true, 'pgtwig', 'branch') END"));
}

BackupSession::BackupSession(Connection& source) : source_(source) {
  if (source_.value("SHOW wal_level") == "minimal") {
    throw Error(ErrorCode::not_available,
                "the parent runs with wal_level=minimal, which writes too little to copy a running server",
                "stop the parent first, or start it with --set wal_level=replica");
  }
  // The slot first: without it a checkpoint during the copy can recycle the segment in which the backup begins.
  slot_ = fmt::format("pgtwig_copy_{}", source_.backend_pid());
  source_.query("SELECT pg_create_physical_replication_slot($1, true, true)", {slot_});
  try {
    source_.query(source_.server_version() >= first_with_backup_start
                      ? "SELECT pg_backup_start('pgtwig branch', true)"
                      : "SELECT pg_start_backup('pgtwig branch', true, false)");
  } catch (...) {
    drop_slot();
    throw;
  }
  active_ = true;
}

BackupSession::~BackupSession() {
  if (active_) {
    try {
      stop();
    } catch (const Error& error) {
      // Its session is gone then, and with it the backup.
      log::warn("cannot leave backup mode: {}", error.message());
    }
  }
  drop_slot();
}

BackupSession::Label BackupSession::end() {
  active_ = false;
  return stop();
}

BackupSession::Label BackupSession::stop() {
  const auto rows = source_.query(source_.server_version() >= first_with_backup_start
                                      ? "SELECT lsn, labelfile, spcmapfile FROM pg_backup_stop(false)"
                                      : "SELECT lsn, labelfile, spcmapfile FROM pg_stop_backup(false, false)");
  const Row& row = rows.at(0);
  return {.backup_label = row.at(1).value_or(""),
          .tablespace_map = row.at(2).value_or(""),
          .end = require_lsn(row.at(0).value_or(""))};
}

void BackupSession::drop_slot() noexcept {
  try {
    source_.query("SELECT pg_drop_replication_slot($1)", {slot_});
  } catch (const Error& error) {
    log::warn("cannot drop the replication slot {}, which ends with its session: {}", slot_, error.message());
  }
}

}  // namespace pgtwig::postgres
