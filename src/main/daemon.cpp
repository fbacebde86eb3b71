#include "main/daemon.h"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>

#include "api/metrics_server.h"
#include "api/server.h"
#include "base/log.h"
#include "engine/engine.h"
#include "engine/use_cases.h"
#include "main/endpoint.h"
#include "main/stop_signal.h"
#include "main/surroundings.h"
#include "runtime/container/container_runtime.h"
#include "runtime/native/native_runtime.h"
#include "storage/volume_driver.h"

namespace pgtwig {
namespace {

struct Installation {
  Paths paths;
  Config config;
  OsUser daemon_user;
  OsUser instance_user;
  std::filesystem::path helper;
};

// As the kernel itself bounds /dev/shm: what isn't used costs nothing.
Bytes half_of_memory() {
  return Bytes{static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
               static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)) / 2};
}

// The one place where the engine meets the concrete things it works with.
runtime::Runtimes make_runtimes(const Installation& installation, const InstallationId& id) {
  const runtime::ContainerOptions options{
      .installation = id,
      .network = installation.config.container_network == "bridge" ? runtime::Network::bridge : runtime::Network::host,
      .directory = installation.paths.run / "containers",
      .is_rootless = installation.daemon_user.uid != 0,
      .shared_memory = half_of_memory()};
  std::vector<std::unique_ptr<runtime::InstanceRuntime>> all;
  all.push_back(runtime::make_native_runtime());
  for (const char* engine : {"docker", "podman", "nerdctl"}) {
    all.push_back(runtime::make_container_runtime(engine, options));
  }
  return runtime::Runtimes(std::move(all));
}

std::unique_ptr<engine::Engine> make_engine(const Installation& installation, const std::filesystem::path& catalog_file,
                                            const InstallationId& new_installation) {
  auto catalog = catalog::open_catalog(catalog_file, new_installation);
  auto runtimes = make_runtimes(installation, catalog->installation());
  return std::make_unique<engine::Engine>(engine::EngineParts{
      .paths = installation.paths,
      .config = installation.config,
      .catalog = std::move(catalog),
      .runtimes = std::move(runtimes),
      .clock = std::make_unique<SystemClock>(),
      .daemon_user = installation.daemon_user,
      .instance_user = installation.instance_user,
      .helper = installation.helper,
      .open_driver = storage::open_driver,
      .find_installations =
          [directories = installation.config.postgres_directories] {
            return postgres::find_installations(directories);
          },
  });
}

void rename_if_exists(const std::filesystem::path& from, const std::filesystem::path& to) {
  std::error_code error;
  std::filesystem::rename(from, to, error);
  if (error && error != std::errc::no_such_file_or_directory) {
    throw system_error(error.value(), fmt::format("cannot move {} away", from.string()));
  }
}

bool is_lost(const std::filesystem::path& catalog_file) {
  std::error_code absent;
  const auto size = std::filesystem::file_size(catalog_file, absent);
  return absent == std::errc::no_such_file_or_directory || (!absent && size == 0);
}

// What the old catalog, where it can still be read, had replaced or deleted must not come back as a branch.
engine::DoomedVolumes find_doomed_volumes(const std::filesystem::path& old_catalog) {
  engine::DoomedVolumes doomed;
  if (is_lost(old_catalog)) return doomed;
  try {
    const auto catalog = catalog::open_catalog(old_catalog, InstallationId::random());
    doomed.pools = catalog->pools();
    for (const auto& volume : catalog->sweep_list()) {
      if (!volume.staged) doomed.volumes.emplace(volume.volume, volume);
    }
  } catch (...) {
    log::warn("the catalog of before cannot be read, so what was deleted a moment ago may come back: {}",
              describe_current_exception());
  }
  return doomed;
}

// A new catalog is made beside the old one and takes its place only when it is whole; the old one is kept.
void rebuild_catalog(const Installation& installation, const std::vector<std::filesystem::path>& pool_directories) {
  const std::filesystem::path file = installation.paths.catalog();
  const std::filesystem::path new_file = file.string() + ".new";
  const std::filesystem::path old_file =
      fmt::format("{}.before-{}", file.string(), format_rfc3339(SystemClock().now()));
  for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(new_file.string() + suffix);
  auto identity = engine::find_installation_of_volumes(installation.paths, pool_directories);
  {
    auto engine = make_engine(installation, new_file, identity.value_or(InstallationId::random()));
    auto report = engine::rebuild_state(*engine, pool_directories, find_doomed_volumes(file));
    log::info("rebuilt the catalog: {} pools, {} projects, {} branches", report.pools, report.projects,
              report.branches);
    for (const std::string& note : report.notes) log::warn("{}", note);
  }
  // The database first: SQLite drops a log that has no database, but would play it into another one.
  for (const char* suffix : {"", "-wal", "-shm"}) rename_if_exists(file.string() + suffix, old_file.string() + suffix);
  std::filesystem::rename(new_file, file);
  log::info("the catalog of before is kept as {}", old_file.string());
}

// What keeps it from listening is for the log and for `pgtwig status`: the rest of the daemon does without.
std::unique_ptr<api::MetricsServer> serve_metrics(engine::Engine& engine) {
  const Config::Metrics& config = engine.config().metrics;
  if (!config.is_enabled) return nullptr;
  try {
    auto server = std::make_unique<api::MetricsServer>(engine, make_address(config.listen, config.port));
    log::info("metrics are served at {} port {}", config.listen, config.port);
    return server;
  } catch (...) {
    const std::string problem = describe_current_exception();
    log::error("metrics are not served: {}", problem);
    engine.set_metrics_place(engine::MetricsPlaceView{.host = config.listen, .port = config.port, .problem = problem});
    return nullptr;
  }
}

void serve(engine::Engine& engine, bool is_root, StopSignal& stop_signal) {
  std::atomic<bool> stops_instances = false;
  api::Server server(engine, {.socket = engine.paths().socket,
                              .group = find_socket_group(is_root),
                              .spool_directory = engine.paths().state,
                              .on_stop_request = [&](bool stop_all) {
                                stops_instances = stop_all;
                                stop_signal.raise();
                              }});
  StopWatch watch(stop_signal, [&server] {
    log::info("stopping: what is under way is finished first");
    server.stop();
  });
  {
    const Endpoint endpoint(engine);
    const auto metrics = serve_metrics(engine);
    log::info("listening on {}", engine.paths().socket.string());
    server.run();
  }
  if (stops_instances) engine::shut_down(engine);
}

// A new catalog beside old pools would list nothing of what is in them, and everybody would believe it gone.
void refuse_lost_catalog(const Paths& paths, bool rebuilds) {
  if (rebuilds || !is_lost(paths.catalog()) || !engine::has_pools(paths)) return;
  throw Error(ErrorCode::conflict,
              fmt::format("the catalog {} is gone, but there are pools: in {}, or elsewhere as {} says",
                          paths.catalog().string(), paths.pools().string(), paths.installation_file().string()),
              "`pgtwig state rebuild` makes it anew from the volumes");
}

}  // namespace

int run_daemon(const cli::Composition::DaemonOptions& options) {
  prepare_process();
  StopSignal stop_signal;
  OsUser user = OsUser::current();
  bool is_root = user.uid == 0;
  auto environment = current_environment();
  Installation installation{.paths = find_paths(environment, is_root),
                            .config = {},
                            .daemon_user = user,
                            .instance_user = user,
                            .helper = {}};
  installation.config = load_config(installation.paths.config_file, environment);
  const Paths& paths = installation.paths;
  std::filesystem::current_path("/");

  make_installation_directories(paths, is_root);
  refuse_foreign_directories(paths);
  DaemonLock lock = take_daemon_lock(paths);
  set_up_log(paths, installation.config);
  log::info("pgtwig {} begins, pid {}, root {}", PGTWIG_VERSION, ::getpid(), paths.state.string());
  try {
    postgres::require_client_library();
    installation.instance_user = find_instance_user(user);
    refuse_closed_directories(paths, installation.instance_user);
    installation.helper = install_helper(paths);
    refuse_lost_catalog(paths, options.rebuild_state);
    if (options.rebuild_state) {
      rebuild_catalog(installation, {options.pool_directories.begin(), options.pool_directories.end()});
    }
    auto engine = make_engine(installation, paths.catalog(), InstallationId::random());
    engine::open_installation(*engine);
    serve(*engine, is_root, stop_signal);
  } catch (...) {
    log::error("ends: {}", describe_current_exception());
    std::filesystem::remove(paths.pid_file());
    throw;
  }
  std::filesystem::remove(paths.pid_file());
  log::info("ends");
  return 0;
}

void require_pools(const std::vector<std::string>& pool_directories) {
  const Paths paths = find_paths(current_environment(), OsUser::current().uid == 0);
  engine::find_installation_of_volumes(paths, {pool_directories.begin(), pool_directories.end()});
}

}  // namespace pgtwig
