// Where instances run. A runtime starts the postmaster of one incarnation, finds it again, and stops it; it knows
// nothing of catalogs or readiness.
#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/process.h"

namespace pgtwig::runtime {

struct InstanceSpec {
  IncarnationId id;
  std::filesystem::path postgres;  // the server executable
  std::filesystem::path data_directory;
  std::filesystem::path directory;  // Paths::instance(id): pid record, socket directory `s`, generated configuration
  std::filesystem::path log_file;   // stderr of the postmaster, appended; 0600
  std::vector<std::pair<std::string, std::string>> settings;  // `-c name=value`, later ones win
  OsUser user;                                                // who it runs as; never root
  std::map<std::string, std::string> environment;
};

// Smart: no new connections, waits for clients. Fast: rolls back, checkpoints. Immediate: like a crash; for what is
// discarded.
enum class StopMode { fast, immediate };

class InstanceRuntime {
 public:
  virtual ~InstanceRuntime() = default;
  virtual std::string_view name() const = 0;

  // Starts the postmaster and returns at once; it may not accept connections yet. The process outlives the daemon.
  // Throws Error postgres_failed when it cannot be executed.
  virtual ProcessHandle start(const InstanceSpec& spec) = 0;

  // The running postmaster of this incarnation, if there is one: the pid record that start() wrote must match a living
  // process in boot id, start time, user, executable and working directory. The postmaster.pid of the data directory is
  // not trusted.
  virtual std::optional<ProcessHandle> find(const InstanceSpec& spec) = 0;

  // Returns when the postmaster and all of its children that hold the data directory have ended. Throws Error
  // timed_out; the instance then is still stopping. Fine when it is not running.
  virtual void stop(const InstanceSpec& spec, StopMode mode, std::chrono::milliseconds timeout) = 0;
};

}  // namespace pgtwig::runtime
