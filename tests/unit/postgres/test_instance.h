// A real cluster of a test's own: made, configured and started the way the engine does it, gone with the test.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "base/process.h"
#include "postgres/cluster.h"
#include "postgres/connection.h"
#include "postgres/installation.h"
#include "postgres/readiness.h"
#include "runtime/native/native_runtime.h"
#include "tests/support/postgres_user.h"
#include "tests/support/temporary_directory.h"

namespace pgtwig::postgres {

inline constexpr const char* test_password = "correct horse";
inline constexpr const char* default_locale = "C.UTF-8";

class TestInstance {
 public:
  // `directory` exists and outlives this. The data directory is `directory`/data.
  explicit TestInstance(const std::filesystem::path& directory,
                        const Installation& installation = require_installation(find_installations({}), std::nullopt));
  TestInstance(const TestInstance&) = delete;
  TestInstance& operator=(const TestInstance&) = delete;
  ~TestInstance();

  // A cluster that init_cluster() has made: all of these are copies of one.
  void init();
  void init_anew(const std::string& locale = default_locale);
  // The same data in another directory, by cp: what a fork of a stopped or backed-up source is.
  void copy_data_from(const TestInstance& source);

  // Writes the files, starts, waits until it is ready. Throws what that throws.
  Connection start();
  void stop(runtime::StopMode mode = runtime::StopMode::fast);
  ProcessHandle launch();  // start() without waiting
  Connection wait(const ProcessHandle& postmaster);
  Connection connect(const std::string& database = "postgres") const;

  // Runs a client program of the installation, or of PATH, as the test's user; `arguments` behind host, port and user.
  CommandResult run_psql(const std::string& sql, const std::string& host, const std::string& user,
                         const std::string& password, const std::string& database = "postgres") const;

  std::string log() const { return read_file_if_exists(log_file()).value_or(""); }
  std::filesystem::path data() const { return configuration.data_directory; }
  std::filesystem::path log_file() const { return directory_ / "postgres.log"; }
  std::filesystem::path sockets() const { return configuration.files.socket_directory(); }
  UniqueFd open_data() const { return open_directory(data()); }
  const Installation& installation() const { return installation_; }
  runtime::InstanceSpec spec() const;

  InstanceConfiguration configuration;

 private:
  void make(const std::filesystem::path& directory, const std::string& locale) const;

  std::filesystem::path directory_;
  Installation installation_;
  IncarnationId id_ = IncarnationId::random();
  std::unique_ptr<runtime::InstanceRuntime> runtime_ = runtime::make_native_runtime();
  std::uint64_t log_offset_ = 0;
};

// A port that nobody listens on now.
std::uint16_t free_port();

// A cluster that is made but not started, in a directory of its own.
class WithInstance : public ::testing::Test {
 protected:
  void SetUp() override { instance.init(); }
  pgtwig::support::TemporaryDirectory temporary;
  TestInstance instance{temporary.path()};
};

}  // namespace pgtwig::postgres
