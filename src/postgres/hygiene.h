// A branch touches nothing outside itself: what a fork must not carry over from its source.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "postgres/cluster.h"
#include "postgres/connection.h"

namespace pgtwig::postgres {

// What a fork leaves out, relative to the volume, for storage::ForkOptions.
std::vector<std::string> paths_left_out_of_a_fork();

struct ForkFindings {
  std::vector<std::string> held_back;    // "replication slot: x", "standby", and what isolation_overrides() knows
  bool maybe_has_subscriptions = false;  // from pg_subscription's file: empty means none, if the source was shut down
};

// Cleans the data directory of a fork before its first start: pid files, slots, standby.signal, recovery.signal,
// statistics temporaries, pgsql_tmp, the archiver's notes. Works beneath the directory handle, following no link.
// Throws Error not_allowed for what leads out of the directory: external tablespaces, other links (pg_wal on a disk of
// its own), includes.
ForkFindings clean_fork(int data_directory);

// Throws Error not_allowed when there is a link in pg_tblspc.
void refuse_external_tablespaces(int data_directory);

// The oids of databases that have unlogged relations, by the forks that only these have (documentation, "The
// Initialization Fork").
std::vector<std::uint32_t> databases_with_unlogged_relations(int data_directory);

// The replication slots of a data directory as they are called in held_back.
std::vector<std::string> held_back_slots(int data_directory);

// The overrides that keep a branch to itself, less what `allowed` lets through. By the names of held_back:
// "archive_command", "restore_command", "primary_conninfo", "synchronous_standby_names", "cron jobs". And
// max_logical_replication_workers=0 while `subscriptions_off`.
SettingList isolation_overrides(int pg_major, bool subscriptions_off, const std::vector<std::string>& allowed);

// Disables every subscription in every database and sets its slot name to NONE. `connect` opens a database of the
// instance. Returns their names.
std::vector<std::string> disable_subscriptions(const std::function<Connection(const std::string& database)>& connect);

}  // namespace pgtwig::postgres
