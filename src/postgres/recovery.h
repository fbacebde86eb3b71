// Recovery to a point in time: what a data directory and its server are given for it, and how its outcome is read.
//
// Sources: the documentation, "Continuous Archiving and Point-in-Time Recovery (PITR)" and "Archive Recovery"; for what
// it does not say, src/backend/access/transam/xlogrecovery.c and src/backend/commands/tablespace.c.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fs.h"
#include "base/names.h"
#include "postgres/cluster.h"
#include "postgres/connection.h"

namespace pgtwig::postgres {

// A setting of PostgreSQL's: {"recovery_target_time", "2026-11-21 06:40:10.123456+00"}.
using RecoveryTarget = std::pair<std::string, std::string>;
RecoveryTarget time_target(TimePoint time);
RecoveryTarget lsn_target(Lsn lsn);
RecoveryTarget transaction_target(std::uint64_t xid);
RecoveryTarget named_target(const std::string& name);

struct RecoveryOptions {
  std::string restore_command;
  std::optional<RecoveryTarget> target;  // absent: the end of WAL
  std::uint32_t timeline = 1;
};
// Everything inclusive, promoted as soon as it is there, nobody let in before. To be given after all other settings.
// Messages are in English, so that failure_of_recovery() knows them.
SettingList recovery_settings(const RecoveryOptions& options);
// Makes the next start a recovery.
void write_recovery_signal(int data_directory, const FileOwner& owner);

enum class RecoveryFailure {
  target_not_reached,    // the WAL ended before it
  makes_tablespace,      // it came to a CREATE TABLESPACE
  makes_tablespace_here  // the same, of one inside the data directory
};
// From the words of the server's last failure; nullopt: another one.
std::optional<RecoveryFailure> failure_of_recovery(std::string_view words);

// Replay of CREATE TABLESPACE makes the link again that leads to the directory of the cluster which wrote the WAL, and
// what is replayed after it goes there: into the files of a living server. While this stands, nothing can be made in
// pg_tblspc, so such a replay ends at once, before it has written anything.
class TablespaceGuard {
 public:
  explicit TablespaceGuard(const std::filesystem::path& data_directory);
  ~TablespaceGuard();
  TablespaceGuard(const TablespaceGuard&) = delete;
  TablespaceGuard& operator=(const TablespaceGuard&) = delete;

 private:
  UniqueFd directory_;
  mode_t mode_ = 0700;
};

// What a recovery came to, asked of the server that it left running.
struct RecoveryOutcome {
  std::uint32_t timeline = 0;            // its new one
  Lsn switched_at;                       // where it left the one before: replay ended here
  std::optional<TimePoint> last_commit;  // absent: none was replayed
  bool has_subscriptions = false;
  std::vector<std::string> prepared_transactions;  // gids
};
RecoveryOutcome read_recovery_outcome(Connection& connection, int data_directory);

// Where a timeline left the one before it: from the last line of its history file. nullopt: it is none.
std::optional<Lsn> last_switch(std::string_view history_file);

}  // namespace pgtwig::postgres
