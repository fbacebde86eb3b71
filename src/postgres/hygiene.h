// A branch touches nothing outside itself: what a fork must not carry over from its source.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "postgres/cluster.h"
#include "postgres/connection.h"

namespace pgtwig::postgres {

// What a fork leaves out, relative to the volume, for storage::ForkOptions.
std::vector<std::string> paths_left_out_of_a_fork();

struct ForkFindings {
  std::vector<std::string> held_back;    // "replication slot: x", "standby", "archive_command",
                                         // "synchronous_standby_names", "cron jobs", "subscriptions"
  bool maybe_has_subscriptions = false;  // from pg_subscription's file: empty means none
};

// Cleans the data directory of a fork before its first start: pid files, slots, standby.signal, recovery.signal,
// statistics temporaries, pgsql_tmp. Works beneath the directory handle, following no link. Throws Error not_allowed
// for external tablespaces.
ForkFindings clean_fork(int data_directory);

// The overrides that keep a branch to itself (synchronous_standby_names='', archive_command, primary_conninfo,
// restore_command, cron.launch_active_jobs=off, and max_logical_replication_workers=0 while `subscriptions_off`), less
// what `allowed` lets through.
SettingList isolation_overrides(int pg_major, bool subscriptions_off, const std::vector<std::string>& allowed);

// Disables every subscription in every database and sets its slot name to NONE. `connect` opens a database of the
// instance. Returns their names.
std::vector<std::string> disable_subscriptions(const std::function<Connection(const std::string& database)>& connect);

}  // namespace pgtwig::postgres
