// An engine over an empty catalog in a directory of the test's own, and its API on a socket there.
#pragma once

#include <thread>

#include "api/server.h"
#include "engine/engine.h"
#include "storage/volume_driver.h"
#include "tests/support/runtimes.h"
#include "tests/support/temporary_directory.h"

namespace pgtwig::api {

class ServedEngine {
 public:
  ServedEngine()
      : paths_(find_paths({{"PGTWIG_ROOT", directory_.path().string()}}, false)),
        engine_(make_parts(paths_)),
        server_(engine_, {.socket = paths_.socket,
                          .group = std::nullopt,
                          .spool_directory = paths_.state,
                          .on_stop_request =
                              [this](bool stop_all) {
                                stop_all_was_asked_for_ = stop_all;
                                server_.stop();
                              }}),
        thread_([this] { server_.run(); }) {}
  ~ServedEngine() {
    server_.stop();
    thread_.join();
  }

  engine::Engine& engine() { return engine_; }
  const Paths& paths() const { return paths_; }
  const std::filesystem::path& socket() const { return paths_.socket; }
  const std::filesystem::path& directory() const { return directory_.path(); }
  bool stop_all_was_asked_for() const { return stop_all_was_asked_for_; }

 private:
  static engine::EngineParts make_parts(const Paths& paths) {
    make_directories(paths.run);
    engine::EngineParts parts{.paths = paths,
                              .config = {},
                              .catalog = catalog::open_catalog(paths.catalog(), InstallationId::random()),
                              .runtimes = pgtwig::support::native_only(),
                              .clock = std::make_unique<SystemClock>(),
                              .daemon_user = OsUser::current(),
                              .instance_user = OsUser::current(),
                              .open_driver = storage::open_driver,
                              .find_installations = [] { return std::vector<postgres::Installation>(); }};
    return parts;
  }

  support::TemporaryDirectory directory_;
  Paths paths_;
  engine::Engine engine_;
  std::atomic<bool> stop_all_was_asked_for_ = false;
  Server server_;
  std::thread thread_;
};

}  // namespace pgtwig::api
