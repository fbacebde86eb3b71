#include "base/fault.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <thread>

#include "base/error.h"
#include "base/fs.h"
#include "base/log.h"
#include "tests/support/temporary_directory.h"

namespace pgtwig {
namespace {

class FaultPoints : public ::testing::Test {
 protected:
  void TearDown() override {
    unsetenv("PGTWIG_FAULT");
    unsetenv("PGTWIG_FAULT_LOG");
    fault::set_up_from_environment();
  }
  void set(const std::string& faults) {
    setenv("PGTWIG_FAULT", faults.c_str(), 1);
    fault::set_up_from_environment();
  }
  support::TemporaryDirectory directory_;
};

TEST_F(FaultPoints, DoNothingUnlessAsked) {
  fault::point("create.forked");
  set("create.forked=fail");
  fault::point("create.other");
  EXPECT_THROW(fault::point("create.forked"), Error);
}

TEST_F(FaultPoints, ActAtTheirPassageOnly) {
  set("a:2=fail,b=fail");
  fault::point("a");
  EXPECT_THROW(fault::point("a"), Error);
  fault::point("a");
  EXPECT_THROW(fault::point("b"), Error);
}

// Without the fixture: who is killed removes no directory.
TEST(FaultPointsDeath, KillTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        setenv("PGTWIG_FAULT", "a=kill", 1);
        fault::set_up_from_environment();
        fault::point("a");
      },
      ::testing::KilledBySignal(SIGKILL), "");
}

TEST_F(FaultPoints, PauseUntilTheirFileIsGone) {
  const auto file = directory_ / "pause";
  set("a=pause:" + file.string());
  std::atomic<bool> passed = false;
  std::thread thread([&] {
    fault::point("a");
    passed = true;
  });
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!std::filesystem::exists(file) && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  EXPECT_TRUE(std::filesystem::exists(file));
  EXPECT_FALSE(passed);
  std::filesystem::remove(file);
  thread.join();
  EXPECT_TRUE(passed);
}

TEST_F(FaultPoints, AreWrittenDownAsTheyArePassed) {
  setenv("PGTWIG_FAULT_LOG", (directory_ / "log").c_str(), 1);
  fault::set_up_from_environment();
  fault::point("a");
  fault::point("b");
  EXPECT_EQ(read_file(directory_ / "log"), "a\nb\n");
}

TEST_F(FaultPoints, AreRefusedWhenMalformed) {
  for (const char* text : {"a", "=kill", "a=", "a=explode", "a:0=kill", "a:x=kill", "a=pause:", "a=pause:relative"}) {
    EXPECT_THROW(set(text), Error) << text;
  }
}

TEST(Log, GoesToAFileThatOnlyItsOwnerReadsAtTheLevelAsked) {
  support::TemporaryDirectory directory;
  log::set_up(directory / "daemon.log", "info");
  log::debug("not this");
  log::info("branch {} created", "demo/dev");
  const std::string text = read_file(directory / "daemon.log");
  log::set_up("", "error");
  EXPECT_EQ(text.find("not this"), std::string::npos);
  EXPECT_NE(text.find("Z info branch demo/dev created\n"), std::string::npos) << text;
  const auto mode = std::filesystem::status(directory / "daemon.log").permissions();
  EXPECT_EQ(mode, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  EXPECT_THROW(log::set_up("", "loud"), Error);
  EXPECT_THROW(log::set_up("/proc/no/such/file", "info"), Error);
}

}  // namespace
}  // namespace pgtwig
