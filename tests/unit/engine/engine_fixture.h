// An engine over a real catalog, a real PostgreSQL and the memory driver, in a directory of its own.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/paths.h"
#include "engine/engine.h"
#include "engine/use_cases.h"
#include "postgres/installation.h"
#include "storage/memory/memory_driver.h"
#include "tests/support/runtimes.h"

namespace pgtwig::engine {

// Remembers what it heard.
class RecordingListener final : public Listener {
 public:
  void on_event(const Event& event) override { events.push_back(event); }
  std::vector<Event> events;
};

class EngineTest : public ::testing::Test {
 protected:
  EngineTest() {
    if (::geteuid() == 0) {
      instance_user_ = *OsUser::find("nobody");
    } else {
      instance_user_ = OsUser::current();
    }
    std::string name = "/dev/shm/pgtwig-engine-XXXXXX";  // no disk: every failure is one that is injected
    if (::mkdtemp(name.data()) == nullptr) throw system_error(errno, "mkdtemp");
    root_ = name;
    std::filesystem::permissions(root_, std::filesystem::perms(0755));
    open_engine();
  }

  ~EngineTest() override {
    if (engine_) shut_down(*engine_);
    engine_.reset();
    remove_tree(root_);
  }

  // As a new daemon would.
  void open_engine() {
    engine_.reset();
    const Paths paths = find_paths({{"PGTWIG_ROOT", root_.string()}}, false);
    for (const auto& directory : {paths.run, paths.instances(), paths.pools(), paths.log_file().parent_path()}) {
      make_directories(directory, 0755);
    }
    Config config;
    // Tests run beside each other: each process takes its ports from a hundred of its own.
    const auto first = static_cast<std::uint16_t>(10'000 + ::getpid() % 200 * 100);
    config.ports = {.first = first, .last = static_cast<std::uint16_t>(first + 99)};
    config.snapshots_every = std::chrono::seconds(0);  // nothing comes beside what a test asks for
    EngineParts parts{.paths = paths,
                      .config = config,
                      .catalog = catalog::open_catalog(paths.catalog(), installation_),
                      .runtimes = pgtwig::support::native_only(),
                      .clock = std::make_unique<SystemClock>(),
                      .daemon_user = OsUser::current(),
                      .instance_user = instance_user_,
                      .open_driver =
                          [this](std::string_view, const std::filesystem::path& directory) {
                            return storage::make_memory_driver(directory, [this](std::string_view effect) {
                              const auto on_effect = effect_hook();
                              if (on_effect) on_effect(effect);
                            });
                          },
                      .find_installations = [] { return postgres::find_installations({}); }};
    engine_ = std::make_unique<Engine>(std::move(parts));
    open_installation(*engine_);
  }

  // A pool on the memory driver and a project "demo" in it.
  void make_project() {
    std::filesystem::create_directory(root_ / "pool");
    std::filesystem::permissions(root_ / "pool", std::filesystem::perms(0711));
    create_pool(*engine_,
                {.name = *PoolName::parse("memory"),
                 .directory = root_ / "pool",
                 .image_size = std::nullopt,
                 .driver = "memory",
                 .file_system = std::nullopt},
                listener_);
    CreateProject request{.name = *ProjectName::parse("demo")};
    request.pool = *PoolName::parse("memory");
    create_project(*engine_, request, listener_);
  }

  static BranchPath path(const std::string& branch) {
    return {*ProjectName::parse("demo"), *BranchName::parse(branch)};
  }

  std::vector<std::string> volumes() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(root_ / "pool")) {
      if (is_hex_128(entry.path().filename().string())) names.push_back(entry.path().filename());
    }
    return names;
  }

  // What is called before each effect on storage, on whatever thread it happens.
  void set_effect_hook(std::function<void(std::string_view)> hook) {
    const std::lock_guard lock(effect_mutex_);
    on_effect_ = std::move(hook);
  }
  std::function<void(std::string_view)> effect_hook() {
    const std::lock_guard lock(effect_mutex_);
    return on_effect_;
  }

  std::filesystem::path root_;
  OsUser instance_user_;
  const InstallationId installation_ = InstallationId::random();
  std::mutex effect_mutex_;
  std::function<void(std::string_view)> on_effect_;
  std::unique_ptr<Engine> engine_;
  RecordingListener listener_;
};

}  // namespace pgtwig::engine
