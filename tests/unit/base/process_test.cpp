#include "base/process.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "tests/support/temporary_directory.h"

namespace pgtwig {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;

// A test may use the shell; pgtwig may not.
Command shell(const std::string& script) {
  Command command;
  command.argv = {"sh", "-c", script};
  return command;
}

TEST(RunCommand, CollectsBothStreamsAndTheStatus) {
  const CommandResult result = run_command(shell("echo out; echo err >&2; exit 7"));
  EXPECT_EQ(result.output, "out\n");
  EXPECT_EQ(result.error_output, "err\n");
  EXPECT_EQ(result.exit_status, 7);
}

TEST(RunCommand, GivesASignalAsAStatusAbove128) {
  EXPECT_EQ(run_command(shell("kill -TERM $$")).exit_status, 128 + SIGTERM);
}

TEST(RunCommand, PassesArgumentsUntouched) {
  EXPECT_EQ(run_command({.argv = {"printf", "%s|", "a b", "$HOME", "'", ""}}).output, "a b|$HOME|'||");
}

TEST(RunCommand, FeedsInputOfAnySizeToAProgramThatReadsItOrNot) {
  Command command{.argv = {"cat"}};
  command.input = std::string(5'000'000, 'x');
  EXPECT_EQ(run_command(command).output.size(), 5'000'000u);
  command.argv = {"true"};
  EXPECT_EQ(run_command(command).exit_status, 0);
}

TEST(RunCommand, ReadsFromAGivenDescriptorAndOtherwiseFromNothing) {
  support::TemporaryDirectory directory;
  write_file(directory / "input", "from a file");
  UniqueFd input(open((directory / "input").c_str(), O_RDONLY));
  Command command{.argv = {"cat"}};
  command.input_fd = input.get();
  EXPECT_EQ(run_command(command).output, "from a file");
  EXPECT_EQ(run_command({.argv = {"cat"}}).output, "");
}

TEST(RunCommand, ReadsAndDropsWhatIsBeyondTheLimit) {
  Command command = shell("head -c 1000000 /dev/zero; echo done >&2");
  command.output_limit = 1000;
  const CommandResult result = run_command(command);
  EXPECT_EQ(result.output.size(), 1000u);
  EXPECT_EQ(result.error_output, "done\n");
  EXPECT_EQ(result.exit_status, 0);
}

TEST(RunCommand, KillsAProgramThatTakesTooLongWithItsChildren) {
  support::TemporaryDirectory directory;
  Command command = shell("sleep 1000 & echo $! > child; wait");
  command.directory = directory.path();
  command.timeout = 200ms;
  const auto begin = std::chrono::steady_clock::now();
  try {
    run_command(command);
    ADD_FAILURE() << "it did not time out";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::timed_out);
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 20s);
  const auto child = ProcessHandle::open(std::stoi(read_file(directory / "child")));
  if (child) {
    EXPECT_TRUE(child->wait_for_end(20s));
  }
}

TEST(RunCommand, DoesNotWaitForAServerThatKeepsItsOutputOpen) {
  support::TemporaryDirectory directory;
  Command command = shell("setsid sleep 1000 & echo $! > server; echo started");
  command.directory = directory.path();
  EXPECT_EQ(run_command(command).output, "started\n");
  const auto server = ProcessHandle::open(std::stoi(read_file(directory / "server")));
  ASSERT_TRUE(server);
  EXPECT_TRUE(server->is_running());
  EXPECT_TRUE(server->send_signal(SIGKILL));
}

TEST(RunCommand, SaysWhichProgramIsMissing) {
  try {
    run_command({.argv = {"no-such-program-anywhere"}});
    ADD_FAILURE() << "it ran";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::not_available);
    EXPECT_THAT(error.message(), HasSubstr("no-such-program-anywhere"));
  }
  EXPECT_THROW(run_command({.argv = {"/no/such/program"}}), Error);
  EXPECT_THROW(run_command({.argv = {"/etc"}}), Error);
}

TEST(RunCommand, SaysWhenTheDirectoryIsMissing) {
  Command command{.argv = {"true"}};
  command.directory = "/no/such/directory";
  try {
    run_command(command);
    ADD_FAILURE() << "it ran";
  } catch (const Error& error) {
    EXPECT_THAT(error.message(), HasSubstr("/no/such/directory"));
  }
}

TEST(RunCommand, LeavesNoDescriptorsToTheProgram) {
  // Without O_CLOEXEC, as a library might open it.
  UniqueFd leaky(open("/dev/null", O_RDONLY));
  ASSERT_GT(leaky.get(), 2);
  // ls has one more of its own, for the directory it lists.
  EXPECT_EQ(run_command({.argv = {"ls", "/proc/self/fd"}}).output, "0\n1\n2\n3\n");
}

TEST(RunCommand, GivesTheProgramDefaultSignalsAndNoMask) {
  const auto old_handler = signal(SIGPIPE, SIG_IGN);
  const std::string status = run_command({.argv = {"cat", "/proc/self/status"}}).output;
  signal(SIGPIPE, old_handler);
  EXPECT_THAT(status, HasSubstr("SigBlk:\t0000000000000000"));
  // Of the standard signals: the C library keeps two of its own (32 and 33) from every program, whatever they are set
  // to.
  const std::string ignored = status.substr(status.find("SigIgn:\t") + 8, 16);
  EXPECT_EQ(std::stoull(ignored, nullptr, 16) & 0x7fffffffU, 0U) << ignored;
}

TEST(RunCommand, AddsToTheEnvironmentAndReplacesInIt) {
  setenv("PGTWIG_TEST_INHERITED", "inherited", 1);
  setenv("PGTWIG_TEST_REPLACED", "old", 1);
  Command command{.argv = {"env"}};
  command.environment = {{"PGTWIG_TEST_REPLACED", "new"}, {"PGTWIG_TEST_ADDED", "added"}};
  const std::string output = run_command(command).output;
  EXPECT_THAT(output, HasSubstr("PGTWIG_TEST_INHERITED=inherited\n"));
  EXPECT_THAT(output, HasSubstr("PGTWIG_TEST_REPLACED=new\n"));
  EXPECT_THAT(output, HasSubstr("PGTWIG_TEST_ADDED=added\n"));
  EXPECT_THAT(output, Not(HasSubstr("PGTWIG_TEST_REPLACED=old")));
}

TEST(RunCommand, GivesAnotherUserNothingOfTheCallersEnvironmentAndSession) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  setenv("PGTWIG_TEST_INHERITED", "inherited", 1);
  Command command{.argv = {"env"}};
  command.user = OsUser::find("nobody");
  command.environment = {{"PGTWIG_TEST_ADDED", "added"}};
  const std::string output = run_command(command).output;
  EXPECT_THAT(output, Not(HasSubstr("PGTWIG_TEST_INHERITED")));
  EXPECT_THAT(output, HasSubstr("PGTWIG_TEST_ADDED=added\n"));
  EXPECT_THAT(output, HasSubstr("LANG=C\n"));
  EXPECT_THAT(output, HasSubstr("PATH=/"));
  // Fields 5 and 6 of stat: the group and the session, led by the program itself.
  EXPECT_EQ(run_command(shell("read -r pid name state parent group session rest < /proc/self/stat; "
                              "test $session = $$ && test $group = $$"))
                .exit_status,
            0);
}

TEST(RunCommand, StopsAProgramThatNeverEndsItsOutput) {
  Command command{.argv = {"yes"}};
  command.timeout = 300ms;
  command.output_limit = 1000;
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_THROW(run_command(command), Error);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 20s);
}

TEST(RunCommand, BecomesAnotherUserForGood) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  const auto nobody = OsUser::find("nobody");
  ASSERT_TRUE(nobody);
  Command command{.argv = {"grep", "-E", "^(Uid|Gid|Groups):", "/proc/self/status"}};
  command.user = nobody;
  const std::string output = run_command(command).output;
  const std::string uid = std::to_string(nobody->uid);
  const std::string gid = std::to_string(nobody->gid);
  EXPECT_THAT(output, HasSubstr("Uid:\t" + uid + "\t" + uid + "\t" + uid + "\t" + uid));
  EXPECT_THAT(output, HasSubstr("Gid:\t" + gid + "\t" + gid + "\t" + gid + "\t" + gid));
  EXPECT_THAT(output, HasSubstr("Groups:\t" + gid + " \n"));
  command.argv = {"env"};
  EXPECT_THAT(run_command(command).output, HasSubstr("USER=nobody\n"));
  EXPECT_THAT(run_command(command).output, Not(HasSubstr("HOME=/root\n")));
}

TEST(RunCommand, WorksFromManyThreadsAtOnce) {
  std::vector<std::thread> threads;
  std::atomic<int> right = 0;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([i, &right] {
      for (int round = 0; round < 5; ++round) {
        Command command{.argv = {"cat"}};
        command.input = std::to_string(i) + ":" + std::to_string(round);
        if (run_command(command).output == command.input) ++right;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 40);
}

TEST(RunCommandChecked, PutsTheLastWordsOfTheProgramInTheError) {
  try {
    run_command_checked(shell("for i in 1 2 3 4 5 6; do echo line $i >&2; done; exit 1"), "cannot count",
                        ErrorCode::postgres_failed);
    ADD_FAILURE() << "it succeeded";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::postgres_failed);
    EXPECT_EQ(error.message(), "cannot count: line 3\nline 4\nline 5\nline 6");
  }
  try {
    run_command_checked(shell("exit 3"), "cannot be silent", ErrorCode::internal);
    ADD_FAILURE() << "it succeeded";
  } catch (const Error& error) {
    EXPECT_EQ(error.message(), "cannot be silent: sh ended with status 3");
  }
}

// A child that waits until it is killed, and is reaped at the end of the test.
class WaitingChild {
 public:
  WaitingChild() : pid_(fork()) {
    if (pid_ == 0) {
      while (true) pause();
    }
  }
  ~WaitingChild() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_;
};

TEST(ProcessHandles, KnowWhetherTheirProcessRuns) {
  WaitingChild child;
  auto handle = ProcessHandle::open(child.pid());
  ASSERT_TRUE(handle);
  EXPECT_TRUE(handle->is_running());
  EXPECT_FALSE(handle->wait_for_end(10ms));
  EXPECT_TRUE(handle->send_signal(SIGKILL));
  EXPECT_TRUE(handle->wait_for_end(20s));
  EXPECT_FALSE(handle->is_running());
  EXPECT_FALSE(handle->send_signal(SIGKILL));
}

TEST(ProcessHandles, AreNotHadOfWhatIsNoProcess) {
  EXPECT_FALSE(ProcessHandle::open(0));
  EXPECT_FALSE(ProcessHandle::open(-1));
  EXPECT_FALSE(ProcessHandle::open(1 << 30));
}

TEST(ProcessStartTicks, TellProcessesApartAndSurviveAStrangeName) {
  EXPECT_FALSE(process_start_ticks(1 << 30));
  const auto own = process_start_ticks(getpid());
  ASSERT_TRUE(own);
  EXPECT_EQ(process_start_ticks(getpid()), own);
  support::TemporaryDirectory directory;
  const auto program = directory / ") R 1 (x";
  std::filesystem::copy_file("/bin/cat", program);
  const std::string stat = run_command({.argv = {program.string(), "/proc/self/stat"}}).output;
  EXPECT_THAT(stat, HasSubstr("() R 1 (x)"));
  WaitingChild child;
  EXPECT_GE(process_start_ticks(child.pid()), own);
}

TEST(BootId, IsOneLineThatStays) {
  EXPECT_EQ(boot_id().size(), 36u);
  EXPECT_EQ(boot_id(), boot_id());
}

}  // namespace
}  // namespace pgtwig
