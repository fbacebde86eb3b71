// Where instances run. A runtime starts the postmaster of one incarnation, finds it again, and stops it; it knows
// nothing of catalogs or readiness. Whatever it starts is a process of this machine, seen from here: that is what an
// instance is known by, whether it has walls around it or not.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/process.h"

namespace pgtwig::runtime {

// Something outside of an instance's own two directories that its server has to see, under the same path.
struct Share {
  std::filesystem::path path;
  bool is_writable = false;
};

// What a server may use of the machine at most; empty: no limit.
struct Limits {
  std::string cpus;    // "1.5"
  std::string memory;  // in bytes
};

struct InstanceSpec {
  IncarnationId id;
  std::filesystem::path postgres;  // the server executable
  std::filesystem::path data_directory;
  std::filesystem::path directory;  // Paths::instance(id): pid record, socket directory `s`, generated configuration
  std::filesystem::path log_file;   // stderr of the postmaster, appended; 0600
  std::vector<std::pair<std::string, std::string>> settings;  // `-c name=value`, later ones win
  OsUser user;                                                // who it runs as; never root
  std::map<std::string, std::string> environment;
  std::uint16_t port = 0;
  // For a runtime that runs images: which one, by its id, and the mount points that it declares.
  std::string image = {};
  std::vector<std::string> image_volumes = {};
  std::vector<Share> shares = {};
  Limits limits = {};
};

// Smart: no new connections, waits for clients. Fast: rolls back, checkpoints. Immediate: like a crash; for what is
// discarded.
enum class StopMode { fast, immediate };

// A container image that is on this machine.
struct Image {
  std::string id;            // by its content: names this one for ever
  std::string digest;        // by which a registry has it; empty: no registry has
  std::string architecture;  // "amd64"
  std::vector<std::string> volumes;
};

// The images of a runtime that runs images.
class Images {
 public:
  virtual ~Images() = default;
  // Throws Error not_found when it is not on this machine, with what brings it there; never asks a registry unless
  // `pull` says so.
  virtual Image find(const std::string& reference, bool pull) = 0;
  // The command, of a program of the image, run in a container of it that is gone with its end, as the command's user
  // (who has to be given) and without a network.
  virtual Command command_in(const std::string& image, Command command, const std::vector<Share>& shares) = 0;
};

// Where the servers of a runtime listen, and from where their clients seem to come.
struct Listening {
  std::string addresses = "127.0.0.1";
  bool clients_are_local = true;  // false: what forwards their connections has an address that nobody knows before
};

class InstanceRuntime {
 public:
  virtual ~InstanceRuntime() = default;
  virtual std::string_view name() const = 0;
  // nullptr: its servers are programs of this machine.
  virtual Images* images() { return nullptr; }
  virtual bool has_limits() const { return false; }
  virtual Listening listening() const { return {}; }

  // Starts the postmaster and returns at once; it may not accept connections yet. The process outlives the daemon.
  // nullopt: it has ended already, and its log says why. Throws Error postgres_failed when it cannot be executed, busy
  // when its port is taken, not_found when its image is gone.
  virtual std::optional<ProcessHandle> start(const InstanceSpec& spec) = 0;

  // The running postmaster of this incarnation, if there is one: the pid record that start() wrote must match a living
  // process in boot id, start time, user, executable and working directory. The postmaster.pid of the data directory is
  // not trusted.
  virtual std::optional<ProcessHandle> find(const InstanceSpec& spec) = 0;

  // Returns when the postmaster and all of its children that hold the data directory have ended. Throws Error
  // timed_out; the instance then is still stopping. Fine when it is not running.
  virtual void stop(const InstanceSpec& spec, StopMode mode, std::chrono::milliseconds timeout) = 0;

  // Brings the log file up to date, where the server does not write it itself.
  virtual void collect_log(const InstanceSpec&) {}

  // Ends and removes what was started for this installation and is of an incarnation that is not known, asked after it
  // was found: left by a daemon or a machine that went down at the wrong moment.
  virtual void remove_orphans(const std::function<bool(const IncarnationId&)>& is_known) {
    static_cast<void>(is_known);
  }
};

// The name of the runtime that last started an instance there.
std::string recorded_runtime(const std::filesystem::path& instance_directory);

}  // namespace pgtwig::runtime
