// What every use case works with: the catalog, the pools and their drivers, the runtimes, locks, events. Composed once,
// by main/.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/config.h"
#include "base/locks.h"
#include "base/metrics.h"
#include "base/paths.h"
#include "base/process.h"
#include "base/time.h"
#include "catalog/catalog.h"
#include "engine/views.h"
#include "postgres/installation.h"
#include "runtime/runtimes.h"
#include "storage/volume_driver.h"

namespace pgtwig::engine {

class EventBus;
class Pools;
class Ports;
class Instances;
class Operations;
class Sweeper;
class SizeMeter;
class Housekeeping;
class Wakes;
class ConnectionCounter;

// The concrete parts that an engine is made of; tests put in others.
struct EngineParts {
  Paths paths;
  Config config;
  std::unique_ptr<catalog::Catalog> catalog;
  runtime::Runtimes runtimes;
  std::unique_ptr<Clock> clock;
  OsUser daemon_user;                 // who this process is
  OsUser instance_user;               // who PostgreSQL runs as; the daemon's own user unless that is root
  std::filesystem::path helper = {};  // what archives WAL: see Paths::helper(); empty: nothing is archived
  std::function<std::unique_ptr<storage::VolumeDriver>(std::string_view driver, const std::filesystem::path&)>
      open_driver;
  std::function<std::vector<postgres::Installation>()> find_installations;
};

class Engine {
 public:
  explicit Engine(EngineParts parts);
  ~Engine();  // finishes what runs in the background; instances live on, but those of what was deleted

  const Paths& paths() const { return parts_.paths; }
  const Config& config() const { return parts_.config; }
  const Clock& clock() const { return *parts_.clock; }
  const OsUser& daemon_user() const { return parts_.daemon_user; }
  const OsUser& instance_user() const { return parts_.instance_user; }
  const std::filesystem::path& helper() const { return parts_.helper; }
  catalog::Catalog& catalog() { return *parts_.catalog; }
  // Of a project, by its name.
  runtime::InstanceRuntime& runtime(std::string_view name) { return parts_.runtimes.get(name); }
  // Looked for again when the last look is a second old: they come and go with packages.
  std::vector<postgres::Installation> installations();
  std::unique_ptr<storage::VolumeDriver> open_driver(std::string_view driver, const std::filesystem::path& directory) {
    return parts_.open_driver(driver, directory);
  }
  TimePoint opened_at() const { return opened_at_; }

  NamedLocks& locks() { return locks_; }
  Metrics& metrics() { return metrics_; }
  EventBus& events() { return *events_; }
  Pools& pools() { return *pools_; }
  Ports& ports() { return *ports_; }
  Instances& instances() { return *instances_; }
  Operations& operations() { return *operations_; }
  Sweeper& sweeper() { return *sweeper_; }
  SizeMeter& sizes() { return *sizes_; }
  Housekeeping& housekeeping() { return *housekeeping_; }
  Wakes& wakes() { return *wakes_; }
  ConnectionCounter& connections() { return *connections_; }

  // The endpoint in front of all branches is none of the engine's parts; who makes it lets the engine tell people about
  // it. nullptr: there is none any more. From any thread.
  void set_endpoint(std::function<EndpointView()> describe);
  std::optional<EndpointView> endpoint();
  // The same of where the metrics are served. From any thread.
  void set_metrics_place(std::optional<MetricsPlaceView> place);
  std::optional<MetricsPlaceView> metrics_place();

 private:
  EngineParts parts_;
  TimePoint opened_at_;
  std::mutex installations_mutex_;
  std::vector<postgres::Installation> installations_;
  std::chrono::steady_clock::time_point installations_found_at_;
  std::mutex places_mutex_;
  std::function<EndpointView()> describe_endpoint_;  // guarded by it
  std::optional<MetricsPlaceView> metrics_place_;    // likewise
  NamedLocks locks_;
  Metrics metrics_;
  std::unique_ptr<EventBus> events_;
  std::unique_ptr<Pools> pools_;
  std::unique_ptr<Ports> ports_;
  std::unique_ptr<Instances> instances_;
  std::unique_ptr<Operations> operations_;
  std::unique_ptr<Sweeper> sweeper_;
  std::unique_ptr<SizeMeter> sizes_;
  std::unique_ptr<Wakes> wakes_;
  std::unique_ptr<ConnectionCounter> connections_;
  std::unique_ptr<Housekeeping> housekeeping_;
};

}  // namespace pgtwig::engine
