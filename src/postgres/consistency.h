// What makes a fork of a running cluster a right one: facts about the source, CHECKPOINT, backup mode.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/names.h"
#include "postgres/connection.h"

namespace pgtwig::postgres {

enum class Consistency { automatic, checkpoint, fast, backup };
std::string_view consistency_name(Consistency consistency);  // "auto", ...
std::optional<Consistency> parse_consistency(std::string_view text);

// One round trip of facts about a running source.
struct SourceFacts {
  Lsn current;  // insert position
  Lsn redo;     // replay would begin here
  std::string wal_level;
  bool fsync = true;
  bool full_page_writes = true;
  std::uint64_t shared_buffers = 0;  // bytes
  bool has_subscriptions = false;
  std::vector<std::string> external_tablespaces;         // "name: /path"
  std::vector<std::string> prepared_transactions;        // gids
  std::vector<std::string> unlogged_tables;              // of the connected database: "schema.table"
  std::map<std::uint32_t, std::string> other_databases;  // by oid, those that can be connected to
  std::uint64_t wal_since_redo() const { return current.value > redo.value ? current.value - redo.value : 0; }
};
SourceFacts read_source_facts(Connection& source);
// How far a running server has come: nothing that it commits from now on is before either.
struct WalMoment {
  Lsn end;                     // insert position
  std::uint64_t next_xid = 0;  // transactions from this one on have not begun
};
WalMoment read_wal_moment(Connection& connection);
bool has_subscriptions(Connection& connection);
// Of the connected database: "schema.table".
std::vector<std::string> unlogged_tables(Connection& connection);

// `auto` on a driver whose forks are atomic: whether a CHECKPOINT first makes the child's first row come sooner than
// replay would. A model of the costs of both; where it says no, a CHECKPOINT after the fork keeps the next one quick.
bool checkpoint_pays(const SourceFacts& facts);
void checkpoint(Connection& source);
// Puts every commit that was acknowledged into the WAL on disk, where a fork without CHECKPOINT finds it: with
// synchronous_commit=off an acknowledged one can still be in memory only. Returns where it ends.
Lsn flush_wal(Connection& source);

// Backup mode around a copy that is not atomic: slot, pg_backup_start; end() is pg_backup_stop and gives the label. The
// slot keeps the segments of the backup until destruction, so copy pg_wal between end() and that. Destruction without
// end() leaves the source out of backup mode again.
class BackupSession {
 public:
  // Throws Error not_available when wal_level is minimal. `source` is used by nobody else until destruction.
  explicit BackupSession(Connection& source);
  ~BackupSession();
  BackupSession(const BackupSession&) = delete;
  BackupSession& operator=(const BackupSession&) = delete;
  struct Label {
    std::string backup_label;
    std::string tablespace_map;
    Lsn end;
  };
  Label end();

 private:
  Label stop();
  void drop_slot() noexcept;

  Connection& source_;
  std::string slot_;
  bool active_ = false;
};

}  // namespace pgtwig::postgres
