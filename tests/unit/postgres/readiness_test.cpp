// What "ready" means, and what a start that fails says.
#include "postgres/readiness.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "tests/unit/postgres/test_instance.h"

namespace pgtwig::postgres {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

class Readiness : public WithInstance {
 protected:
  ReadinessProbe probe(std::chrono::milliseconds timeout, std::function<void()> on_listening = {}) {
    return {.connect = {.socket_directory = instance.sockets(), .port = instance.configuration.port},
            .data_directory = instance.data(),
            .log_file = instance.log_file(),
            .log_offset = 0,
            .timeout = timeout,
            .on_listening = std::move(on_listening)};
  }
  Error failure(const ProcessHandle& postmaster, std::chrono::milliseconds timeout = 20s) {
    try {
      wait_until_ready(postmaster, probe(timeout));
    } catch (const Error& error) {
      return error;
    }
    ADD_FAILURE() << "it was ready";
    return {ErrorCode::internal, ""};
  }
};

TEST_F(Readiness, IsAnnouncedOnceAndThenProven) {
  const ProcessHandle postmaster = instance.launch();
  int announced = 0;
  Connection connection = wait_until_ready(postmaster, probe(20s, [&] { ++announced; }));
  EXPECT_EQ(announced, 1);
  EXPECT_EQ(connection.value("SELECT 1"), "1");
}

TEST_F(Readiness, IsNotClaimedByAPidFileOfAnotherProcess) {
  const ProcessHandle postmaster = instance.launch();
  instance.wait(postmaster);
  // Another postmaster's pid: what the file says is not about that one.
  EXPECT_EQ(failure(*ProcessHandle::open(::getpid()), 100ms).code(), ErrorCode::timed_out);
}

TEST_F(Readiness, IsNotReachedDuringRecovery) {
  write_file(instance.data() / "standby.signal", "", 0644);
  const Error error = failure(instance.launch(), 500ms);
  EXPECT_EQ(error.code(), ErrorCode::timed_out);
  EXPECT_THAT(error.message(), HasSubstr("recovering"));
}

TEST_F(Readiness, EndsWhenThePostmasterDoes) {
  const ProcessHandle postmaster = instance.launch();
  postmaster.send_signal(SIGKILL);
  const Error error = failure(postmaster);
  EXPECT_EQ(error.code(), ErrorCode::postgres_failed);
  EXPECT_THAT(error.message(), HasSubstr("gives no reason"));
}

TEST_F(Readiness, SaysWhatIsWrongWithADamagedCluster) {
  std::filesystem::remove(instance.data() / "global" / "pg_control");
  const Error error = failure(instance.launch());
  EXPECT_EQ(error.code(), ErrorCode::postgres_failed);
  EXPECT_THAT(error.message(), HasSubstr("could not find the database system"));
  EXPECT_EQ(error.hint(), "");  // whether its log stays, its caller knows
}

TEST(LastFailureInLog, IsTheLastThatCounts) {
  pgtwig::support::TemporaryDirectory temporary;
  const auto file = temporary.path() / "log";
  EXPECT_EQ(last_failure_in_log(file, 0), "");
  const std::string first = "2026-01-01 00:00:00.000 UTC [1] FATAL:  of an earlier start\n";
  write_file(file, first);
  EXPECT_EQ(last_failure_in_log(file, 0), "of an earlier start");
  EXPECT_EQ(last_failure_in_log(file, first.size()), "");
  write_file(file, first + "[2] LOG:  starting\n[2] ERROR:  one\n[2] FATAL:  two\n[2] LOG:  shut down\n");
  EXPECT_EQ(last_failure_in_log(file, first.size()), "two");
  write_file(file, first + "postgres: cannot run\nbecause of this\n");
  EXPECT_EQ(last_failure_in_log(file, first.size()), "postgres: cannot run because of this");
  write_file(file, first + "[2] LOG:  starting\n");
  EXPECT_EQ(last_failure_in_log(file, first.size()), "");
}

}  // namespace
}  // namespace pgtwig::postgres
