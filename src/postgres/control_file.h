// global/pg_control, read from the file: what state a data directory is in when no server can be asked.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/names.h"

namespace pgtwig::postgres {

// DBState of src/include/catalog/pg_control.h; the numbers have not changed from 9.6 to 18.
enum class ClusterState {
  starting_up = 0,
  shut_down = 1,
  shut_down_in_recovery = 2,
  shutting_down = 3,
  in_crash_recovery = 4,
  in_archive_recovery = 5,
  in_production = 6
};

struct ControlFile {
  std::uint64_t system_identifier = 0;
  int pg_control_version = 0;
  ClusterState state{};
  Lsn checkpoint;  // location of the last checkpoint record
  Lsn redo;        // where replay would begin
  std::uint32_t timeline = 0;
  std::uint64_t next_xid = 0;  // as of that checkpoint
  Bytes wal_segment_size{16 << 20};
  bool was_cleanly_shut_down() const { return state == ClusterState::shut_down; }
};

// `bytes` is the file's content. Throws Error postgres_failed when its CRC-32C is wrong (a torn or foreign file) or its
// version unknown.
ControlFile parse_control_file(std::string_view bytes);
// Reads data/global/pg_control beneath an open data directory; a torn read is tried again a few times.
ControlFile read_control_file(int data_directory);

// Where recovery of a data directory would begin if it were started now: at its backup label when it has one, else at
// the control file's redo location.
struct ReplayStart {
  Lsn redo;
  std::uint32_t timeline = 0;
};
ReplayStart read_replay_start(int data_directory);

}  // namespace pgtwig::postgres
