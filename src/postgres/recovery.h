// Recovery to a point in time: what a data directory and its server are given for it, and how its outcome is read.
//
// Sources: the documentation, "Continuous Archiving and Point-in-Time Recovery (PITR)" and "Archive Recovery"; for what
// it does not say, src/backend/access/transam/xlogrecovery.c and src/backend/commands/tablespace.c.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
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

// What a recovery came to.
struct RecoveryOutcome {
  std::uint32_t timeline = 0;            // its new one
  Lsn switched_at;                       // where it left the one before: replay ended here
  std::optional<TimePoint> last_commit;  // absent: none was replayed
  bool has_subscriptions = false;
  std::vector<std::string> prepared_transactions;  // gids
};
// Of the server that it left running.
RecoveryOutcome read_recovery_outcome(Connection& connection, int data_directory);

struct RecoverySession {
  const Installation& installation;
  std::filesystem::path data_directory;
  OsUser user;
  SettingList settings;                      // those of a start, recovery_settings() at their end
  std::vector<std::string> statements = {};  // a line each, run as the superuser once it is recovered
  std::filesystem::path log_file;            // what PostgreSQL says is added to it
  std::chrono::milliseconds timeout;         // without progress
  std::function<bool()> watch = {};          // as a Command's
};
// Recovers in a single-user session: nobody else can be there, it ends with a clean shutdown, and it needs no port.
// Nothing in it is flushed to disk, which takes most of the time of a recovery with little to replay: before anybody
// relies on the data directory, its file system has to be. Throws Error postgres_failed with PostgreSQL's words.
RecoveryOutcome recover_in_session(const RecoverySession& session);

// Where a timeline left the one before it: from the last line of its history file. nullopt: it is none.
std::optional<Lsn> last_switch(std::string_view history_file);

}  // namespace pgtwig::postgres
