// The daemon's own note of which process is the postmaster of an instance: `pid` in the instance's directory, which
// PostgreSQL cannot write. Used by native_runtime.cpp.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "base/process.h"

namespace pgtwig::runtime {

// Pid, start time and boot together name one process for ever; executable and user are checked besides.
struct PidRecord {
  pid_t pid = 0;
  std::uint64_t start_ticks = 0;
  std::string boot_id;
  std::filesystem::path executable;  // without links
  uid_t uid = 0;
};

// Not synced: after a crash of the machine no process it could name is left.
void write_pid_record(const std::filesystem::path& directory, const PidRecord& record);
// nullopt when there is none or it is not whole: then its process was never let go and has ended.
std::optional<PidRecord> read_pid_record(const std::filesystem::path& directory);
void remove_pid_record(const std::filesystem::path& directory);

}  // namespace pgtwig::runtime
