// What every runtime promises, with a real PostgreSQL: natively, or in containers of the engine that
// PGTWIG_TEST_RUNTIME names, with its image PGTWIG_TEST_IMAGE. with_engine.py starts an engine and then this.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>

#include "base/fs.h"
#include "runtime/container/container_runtime.h"
#include "runtime/data_directory_servers.h"
#include "runtime/native/native_runtime.h"
#include "tests/support/errors.h"
#include "tests/support/postgres_programs.h"
#include "tests/support/postgres_user.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/wait.h"

namespace pgtwig::runtime {
namespace {

using namespace std::chrono_literals;
using pgtwig::support::code_of;
using pgtwig::support::postgres_programs;
using pgtwig::support::wait_until;
using ::testing::HasSubstr;

constexpr auto stop_timeout = 60s;

std::string variable(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : value;
}

class RuntimeContract : public ::testing::Test {
 protected:
  void SetUp() override {
    ::chmod(temporary_.path().c_str(), 0755);
    const auto data = temporary_.path() / "data";
    const auto instance = temporary_.path() / "i";
    const auto sockets = instance / "s";
    make_directories(instance, 0755);
    for (const auto& directory : {data, sockets}) {
      make_directories(directory, 0700);
      if (::geteuid() == 0) {
        ASSERT_EQ(::chown(directory.c_str(), user_.uid, user_.gid), 0);
      }
    }
    Command initdb;
    initdb.argv = {postgres_programs() / "initdb", "-D", data, "-A", "trust", "-U", "postgres", "--no-sync"};
    initdb.user = user_;
    run_command_checked(initdb, "initdb", ErrorCode::internal);
    spec_ = std::make_unique<InstanceSpec>(
        InstanceSpec{.id = IncarnationId::random(),
                     .postgres = postgres_programs() / "postgres",
                     .data_directory = data,
                     .directory = instance,
                     .log_file = temporary_.path() / "log" / "postgres.log",
                     .settings = {{"listen_addresses", ""}, {"unix_socket_directories", sockets}},
                     .user = user_,
                     .environment = {},
                     .image = variable("PGTWIG_TEST_IMAGE", "")});
    runtime_ = make_runtime();
  }

  void TearDown() override {
    if (runtime_) runtime_->stop(*spec_, StopMode::immediate, stop_timeout);
    EXPECT_TRUE(find_servers_in(spec_->data_directory).empty());
  }

  // As the next daemon has it.
  std::unique_ptr<InstanceRuntime> make_runtime() {
    const std::string name = variable("PGTWIG_TEST_RUNTIME", "native");
    if (name == "native") return make_native_runtime();
    return make_container_runtime(name, {.installation = installation_,
                                         .network = Network::host,
                                         .directory = temporary_.path() / "containers",
                                         .is_rootless = ::geteuid() != 0,
                                         .shared_memory = Bytes{64 << 20}});
  }

  std::string log() {
    runtime_->collect_log(*spec_);
    return read_file_if_exists(spec_->log_file).value_or("");
  }

  ProcessHandle start_ready() {
    auto postmaster = runtime_->start(*spec_);
    if (!postmaster) throw Error(ErrorCode::internal, "it ended at once: " + log());
    const auto is_ready = [&] {
      return read_file_if_exists(spec_->data_directory / "postmaster.pid").value_or("").find("\nready") !=
             std::string::npos;
    };
    EXPECT_TRUE(wait_until(is_ready)) << log();
    return std::move(*postmaster);
  }

  bool was_shut_down() {
    Command command;
    command.argv = {postgres_programs() / "pg_controldata", spec_->data_directory};
    command.user = user_;
    command.environment = {{"LC_ALL", "C"}};
    return run_command(command).output.find("shut down\n") != std::string::npos;
  }

  // Containers have a /dev/shm of their own.
  pgtwig::support::TemporaryDirectory temporary_{pgtwig::support::TemporaryPlace::disk};
  OsUser user_ = pgtwig::support::postgres_user();
  InstallationId installation_ = InstallationId::random();
  std::unique_ptr<InstanceSpec> spec_;
  std::unique_ptr<InstanceRuntime> runtime_;
};

TEST_F(RuntimeContract, AStartedServerIsAProcessOfThisMachineThatTheNextDaemonFinds) {
  const ProcessHandle postmaster = start_ready();
  EXPECT_TRUE(postmaster.is_running());
  EXPECT_EQ(recorded_runtime(spec_->directory), runtime_->name());
  const auto found = make_runtime()->find(*spec_);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->pid(), postmaster.pid());
}

TEST_F(RuntimeContract, AFastStopShutsItDownCleanlyAndMayBeSaidTwice) {
  const ProcessHandle postmaster = start_ready();
  runtime_->stop(*spec_, StopMode::fast, stop_timeout);
  EXPECT_FALSE(postmaster.is_running());
  EXPECT_TRUE(was_shut_down());
  EXPECT_FALSE(runtime_->find(*spec_));
  runtime_->stop(*spec_, StopMode::fast, stop_timeout);
}

TEST_F(RuntimeContract, AnImmediateStopLeavesNoProcess) {
  start_ready();
  runtime_->stop(*spec_, StopMode::immediate, stop_timeout);
  EXPECT_TRUE(find_servers_in(spec_->data_directory).empty());
  EXPECT_FALSE(was_shut_down());
}

TEST_F(RuntimeContract, OneThatWasKilledIsSeenAtOnceAndStartsAgain) {
  const ProcessHandle postmaster = start_ready();
  postmaster.send_signal(SIGKILL);
  ASSERT_TRUE(postmaster.wait_for_end(10s));
  EXPECT_FALSE(runtime_->find(*spec_));
  EXPECT_NE(start_ready().pid(), postmaster.pid());
}

TEST_F(RuntimeContract, ASecondStartIsRefusedWhileItRuns) {
  const ProcessHandle postmaster = start_ready();
  EXPECT_EQ(code_of([&] { runtime_->start(*spec_); }), ErrorCode::conflict);
  EXPECT_TRUE(postmaster.is_running());
}

TEST_F(RuntimeContract, TheLogSaysWhyOneDidNotStart) {
  spec_->settings.emplace_back("shared_buffers", "nonsense");
  const auto postmaster = runtime_->start(*spec_);
  if (postmaster) {
    EXPECT_TRUE(postmaster->wait_for_end(30s));
  }
  EXPECT_THAT(log(), HasSubstr("shared_buffers"));
}

TEST_F(RuntimeContract, TheLogOfBeforeIsKept) {
  start_ready();
  runtime_->stop(*spec_, StopMode::fast, stop_timeout);
  const std::string before = log();
  EXPECT_THAT(before, HasSubstr("database system is shut down"));
  start_ready();
  EXPECT_TRUE(log().starts_with(before));
  EXPECT_GT(log().size(), before.size());
}

TEST_F(RuntimeContract, WhatBelongsToNoBranchIsRemovedAndNothingElse) {
  const ProcessHandle postmaster = start_ready();
  runtime_->remove_orphans([](const IncarnationId&) { return true; });
  EXPECT_TRUE(postmaster.is_running());
  runtime_->remove_orphans([](const IncarnationId&) { return false; });
  // A native server is found by its volume, and swept with it.
  EXPECT_EQ(postmaster.is_running(), runtime_->name() == "native");
}

}  // namespace
}  // namespace pgtwig::runtime
