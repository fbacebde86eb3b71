// The native runtime with a real PostgreSQL.
#include "runtime/native/native_runtime.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <sstream>
#include <thread>

#include "base/fs.h"
#include "runtime/data_directory_servers.h"
#include "runtime/native/spawn.h"
#include "runtime/pid_record.h"
#include "tests/support/made_once.h"
#include "tests/support/postgres_programs.h"
#include "tests/support/postgres_user.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/wait.h"

namespace pgtwig::runtime {
namespace {

using namespace std::chrono_literals;
using pgtwig::support::postgres_programs;
using pgtwig::support::wait_until;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr auto stop_timeout = 30s;

std::string proc_file(pid_t pid, const std::string& name) {
  return read_file_if_exists("/proc/" + std::to_string(pid) + "/" + name).value_or("");
}

bool is_zombie(pid_t pid) {
  return proc_file(pid, "status").find("State:\tZ") != std::string::npos;
}

// An initialised data directory, stopped; every process in it is gone at the end.
class NativeRuntime : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto data = temporary_.path() / "data";
    const std::string version = postgres_programs().parent_path().filename();
    const auto cluster = pgtwig::support::made_once(version, [this](const std::filesystem::path& directory) {
      if (::mkdir(directory.c_str(), 0700) != 0 ||
          (::geteuid() == 0 && ::chown(directory.c_str(), user_.uid, user_.gid) != 0)) {
        throw system_error(errno, "cannot make " + directory.string());
      }
      Command initdb;
      initdb.argv = {postgres_programs() / "initdb", "-D", directory, "-A", "trust", "-U", "postgres", "--no-sync"};
      initdb.user = user_;
      run_command_checked(initdb, "initdb", ErrorCode::internal);
    });
    pgtwig::support::copy_tree(cluster, data);
    const auto instance = temporary_.path() / "i";
    const auto sockets = instance / "s";
    make_directories(instance, 0755);
    make_directories(sockets, 0700);
    if (::geteuid() == 0) {
      ASSERT_EQ(::chown(sockets.c_str(), user_.uid, user_.gid), 0);
    }
    spec_ = std::make_unique<InstanceSpec>(
        InstanceSpec{.id = IncarnationId::random(),
                     .postgres = postgres_programs() / "postgres",
                     .data_directory = data,
                     .directory = instance,
                     .log_file = temporary_.path() / "log" / "postgres.log",
                     .settings = {{"listen_addresses", ""}, {"unix_socket_directories", sockets}, {"fsync", "off"}},
                     .user = user_,
                     .environment = {}});
  }

  void TearDown() override {
    if (!spec_) return;
    for (const ServerProcess& server : find_servers_in(spec_->data_directory)) server.handle.send_signal(SIGKILL);
    EXPECT_TRUE(wait_until([&] { return find_servers_in(spec_->data_directory).empty(); }));
    runtime_->find(*spec_);  // reaps what the test left
  }

  bool is_ready(pid_t postmaster) const {
    const std::string text = read_file_if_exists(spec_->data_directory / "postmaster.pid").value_or("");
    return text.starts_with(std::to_string(postmaster) + "\n") && text.find("\nready") != std::string::npos;
  }

  ProcessHandle start_ready() {
    ProcessHandle postmaster = std::move(runtime_->start(*spec_)).value();
    EXPECT_TRUE(wait_until([&] { return is_ready(postmaster.pid()); })) << log();
    return postmaster;
  }

  std::string log() const { return read_file_if_exists(spec_->log_file).value_or(""); }

  // A session that computes and so notices nothing of its postmaster's death.
  std::jthread start_busy_session() {
    std::jthread session([this] {
      Command psql;
      psql.argv = {postgres_programs() / "psql",
                   "-X",
                   "-h",
                   (spec_->directory / "s").string(),
                   "-U",
                   "postgres",
                   "-c",
                   "SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b"};
      psql.user = user_;
      run_command(psql);
    });
    const auto is_busy = [this] {
      for (const ServerProcess& server : find_servers_in(spec_->data_directory)) {
        if (proc_file(server.handle.pid(), "cmdline").find("SELECT") != std::string::npos) return true;
      }
      return false;
    };
    EXPECT_TRUE(wait_until(is_busy));
    return session;
  }

  pgtwig::support::TemporaryDirectory temporary_;
  OsUser user_ = pgtwig::support::postgres_user();
  std::unique_ptr<InstanceRuntime> runtime_ = make_native_runtime();
  std::unique_ptr<InstanceSpec> spec_;
};

// The number of the segment that the server's lock file names in its seventh line.
int shared_memory_of(const std::filesystem::path& data_directory) {
  std::istringstream lines(read_file(data_directory / "postmaster.pid"));
  std::string line;
  for (int number = 1; number <= 7; ++number) std::getline(lines, line);
  std::istringstream words(line);
  unsigned long key = 0;
  int id = -1;
  words >> key >> id;
  return id;
}

TEST_F(NativeRuntime, RunsTheServerAsItsUserInASessionOfItsOwn) {
  const ProcessHandle postmaster = start_ready();
  const std::string status = proc_file(postmaster.pid(), "status");
  const std::string uid = std::to_string(user_.uid);
  EXPECT_THAT(status, HasSubstr("Uid:\t" + uid + "\t" + uid + "\t" + uid + "\t" + uid));
  if (::geteuid() == 0) {
    EXPECT_THAT(status, Not(HasSubstr("Groups:\t0 ")));
  }
  // From version 16 on a postmaster itself blocks SIGURG, which it takes from a signalfd; others only for moments.
  const auto blocks_nothing_of_ours = [&] {
    const std::string now = proc_file(postmaster.pid(), "status");
    return now.contains("SigBlk:\t0000000000000000") || now.contains("SigBlk:\t0000000000400000");
  };
  EXPECT_TRUE(wait_until(blocks_nothing_of_ours)) << proc_file(postmaster.pid(), "status");
  EXPECT_EQ(::getsid(postmaster.pid()), postmaster.pid());
  EXPECT_TRUE(std::filesystem::equivalent("/proc/" + std::to_string(postmaster.pid()) + "/cwd", spec_->data_directory));
}

TEST_F(NativeRuntime, GivesTheServerNothingOfTheCallersEnvironmentAndDescriptors) {
  ::setenv("PGDATA", "/nowhere", 1);
  ::setenv("TZ", "Asia/Tokyo", 1);
  spec_->environment = {{"PGTWIG_TEST", "given"}};
  const int inheritable = ::dup(2);  // without close-on-exec
  const ProcessHandle postmaster = start_ready();
  ::unsetenv("PGDATA");
  ::unsetenv("TZ");
  const std::string environment = proc_file(postmaster.pid(), "environ");
  EXPECT_THAT(environment, HasSubstr("PGTWIG_TEST=given"));
  EXPECT_THAT(environment, Not(HasSubstr("PGDATA")));
  EXPECT_THAT(environment, Not(HasSubstr("TZ=")));
  const auto target = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(inheritable));
  for (const auto& entry : std::filesystem::directory_iterator("/proc/" + std::to_string(postmaster.pid()) + "/fd")) {
    EXPECT_NE(std::filesystem::read_symlink(entry.path()), target) << entry.path();
  }
  ::close(inheritable);
}

TEST_F(NativeRuntime, AppendsToALogThatOnlyTheDaemonCanRead) {
  make_directories(spec_->log_file.parent_path());
  write_file(spec_->log_file, "before\n", 0600);
  start_ready();
  EXPECT_TRUE(wait_until([&] { return log().find("ready to accept connections") != std::string::npos; }));
  EXPECT_TRUE(log().starts_with("before\n"));
  struct stat status{};
  ASSERT_EQ(::stat(spec_->log_file.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
  EXPECT_EQ(status.st_uid, ::geteuid());
}

TEST_F(NativeRuntime, FollowsNoLinkToItsLog) {
  make_directories(spec_->log_file.parent_path());
  std::filesystem::create_symlink(temporary_.path() / "elsewhere", spec_->log_file);
  EXPECT_THROW(runtime_->start(*spec_), Error);
  EXPECT_FALSE(std::filesystem::exists(temporary_.path() / "elsewhere"));
}

TEST_F(NativeRuntime, FindsWhatAnEarlierDaemonStarted) {
  const pid_t starter = ::fork();
  if (starter == 0) {
    make_native_runtime()->start(*spec_);
    ::_exit(0);
  }
  ASSERT_EQ(::waitpid(starter, nullptr, 0), starter);
  auto found = runtime_->find(*spec_);
  ASSERT_TRUE(found);
  EXPECT_TRUE(wait_until([&] { return is_ready(found->pid()); })) << log();
  try {
    runtime_->start(*spec_);
    FAIL() << "a second server was started";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::conflict);
  }
  runtime_->stop(*spec_, StopMode::fast, stop_timeout);
  EXPECT_FALSE(found->is_running());
  EXPECT_FALSE(runtime_->find(*spec_));
}

TEST_F(NativeRuntime, BelievesNoRecordOfAForeignProcess) {
  PidRecord record{.pid = ::getpid(),
                   .start_ticks = process_start_ticks(::getpid()).value(),
                   .boot_id = boot_id(),
                   .executable = std::filesystem::canonical("/proc/self/exe"),
                   .uid = user_.uid};
  write_pid_record(spec_->directory, record);
  EXPECT_FALSE(runtime_->find(*spec_)) << "its working directory is another";
  runtime_->stop(*spec_, StopMode::immediate, stop_timeout);  // and this test lives on
}

TEST_F(NativeRuntime, BelievesNoRecordOfAnotherBootOrStartTimeOrUser) {
  const ProcessHandle postmaster = start_ready();
  const PidRecord record = read_pid_record(spec_->directory).value();
  ASSERT_TRUE(runtime_->find(*spec_));
  PidRecord other = record;
  other.boot_id = "00000000-0000-0000-0000-000000000000";
  write_pid_record(spec_->directory, other);
  EXPECT_FALSE(runtime_->find(*spec_));
  other = record;
  other.start_ticks += 1;
  write_pid_record(spec_->directory, other);
  EXPECT_FALSE(runtime_->find(*spec_));
  other = record;
  other.uid += 1;
  write_pid_record(spec_->directory, other);
  EXPECT_FALSE(runtime_->find(*spec_));
  other = record;
  other.executable = "/bin/sh";
  write_pid_record(spec_->directory, other);
  EXPECT_FALSE(runtime_->find(*spec_));
  write_pid_record(spec_->directory, record);
  EXPECT_TRUE(runtime_->find(*spec_));
  const auto data_directory = std::exchange(spec_->data_directory, temporary_.path());
  EXPECT_FALSE(runtime_->find(*spec_)) << "it works in another directory";
  spec_->data_directory = data_directory;
}

TEST_F(NativeRuntime, IgnoresARecordThatWasCutOff) {
  start_ready();
  const std::string text = read_file(spec_->directory / "pid");
  for (std::size_t length = 0; length + 1 < text.size(); ++length) {
    write_file(spec_->directory / "pid", text.substr(0, length));
    EXPECT_FALSE(read_pid_record(spec_->directory)) << length;
  }
}

TEST_F(NativeRuntime, StopsFastWithACheckpointAndTwiceIsFine) {
  start_ready();
  runtime_->stop(*spec_, StopMode::fast, stop_timeout);
  EXPECT_THAT(log(), HasSubstr("database system is shut down"));
  EXPECT_FALSE(std::filesystem::exists(spec_->data_directory / "postmaster.pid"));
  EXPECT_FALSE(std::filesystem::exists(spec_->directory / "pid"));
  runtime_->stop(*spec_, StopMode::fast, stop_timeout);
}

TEST_F(NativeRuntime, LeavesNoProcessAfterAnImmediateStop) {
  start_ready();
  std::jthread session = start_busy_session();
  runtime_->stop(*spec_, StopMode::immediate, stop_timeout);
  EXPECT_TRUE(find_servers_in(spec_->data_directory).empty());
  EXPECT_THAT(log(), HasSubstr("received immediate shutdown request"));
}

TEST_F(NativeRuntime, KillsAServerThatDoesNotHeedAnImmediateStopWithItsChildren) {
  const ProcessHandle postmaster = start_ready();
  std::jthread session = start_busy_session();
  postmaster.send_signal(SIGSTOP);
  runtime_->stop(*spec_, StopMode::immediate, 300ms);
  EXPECT_FALSE(postmaster.is_running());
  EXPECT_TRUE(find_servers_in(spec_->data_directory).empty());
  EXPECT_FALSE(std::filesystem::exists(spec_->directory / "pid"));
}

TEST_F(NativeRuntime, LeavesNoSharedMemoryOfAKilledServer) {
  const ProcessHandle postmaster = start_ready();
  const int segment = shared_memory_of(spec_->data_directory);
  postmaster.send_signal(SIGKILL);
  ASSERT_TRUE(postmaster.wait_for_end(10s));
  struct shmid_ds status{};
  ASSERT_EQ(::shmctl(segment, IPC_STAT, &status), 0) << "a killed server leaves it";
  runtime_->stop(*spec_, StopMode::fast, stop_timeout);
  EXPECT_NE(::shmctl(segment, IPC_STAT, &status), 0);
}

TEST_F(NativeRuntime, SaysThatAServerIsStillStopping) {
  const ProcessHandle postmaster = start_ready();
  postmaster.send_signal(SIGSTOP);
  try {
    runtime_->stop(*spec_, StopMode::fast, 50ms);
    ADD_FAILURE() << "a stopped process ended";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::timed_out);
  }
  postmaster.send_signal(SIGCONT);
  runtime_->stop(*spec_, StopMode::fast, stop_timeout);
}

TEST_F(NativeRuntime, StartsAgainBesideTheBusyChildOfAKilledPostmaster) {
  const ProcessHandle first = start_ready();
  std::jthread session = start_busy_session();
  first.send_signal(SIGKILL);
  ASSERT_TRUE(first.wait_for_end(10s));
  EXPECT_FALSE(runtime_->find(*spec_));
  EXPECT_FALSE(is_zombie(first.pid()));
  ASSERT_FALSE(find_servers_in(spec_->data_directory).empty()) << "nothing is left to collide with";
  const ProcessHandle second = start_ready();
  EXPECT_TRUE(second.is_running());
  runtime_->stop(*spec_, StopMode::fast, stop_timeout);
}

TEST_F(NativeRuntime, StartsThoughStaleLockFilesNameALivingProcess) {
  // As after a restart of the machine: the numbers in them now belong to another server of the same user.
  const ProcessHandle postmaster = start_ready();
  runtime_->stop(*spec_, StopMode::fast, stop_timeout);
  Command sleeper;
  sleeper.argv = {"sleep", "60"};
  sleeper.user = user_;
  SpawnOptions options{
      .executable = "/bin/sleep", .arguments = {"60"}, .environment = {}, .user = user_, .directory = "/", .log_fd = 2};
  WaitingChild child(options);
  const ProcessHandle other = child.go();
  const std::string stale = std::to_string(other.pid()) + "\n" + spec_->data_directory.string() + "\n";
  write_file(spec_->data_directory / "postmaster.pid", stale, 0644);
  write_file(spec_->directory / "s" / ".s.PGSQL.5432.lock", stale, 0644);
  const ProcessHandle again = start_ready();
  EXPECT_TRUE(again.is_running());
  other.send_signal(SIGKILL);
  ::waitpid(other.pid(), nullptr, 0);
}

TEST_F(NativeRuntime, WaitsForTheChildOfAKilledPostmasterThatStillHasItsTitle) {
  // A child looks like its postmaster until it sets a title of its own, which can take a busy machine long. This one
  // never does, and ends after a moment.
  const auto program = temporary_.path() / "postgres";
  std::filesystem::copy_file("/bin/sleep", program);
  WaitingChild child({.executable = program,
                      .arguments = {"0.6"},
                      .environment = {},
                      .user = user_,
                      .directory = spec_->data_directory,
                      .log_fd = 2});
  const ProcessHandle other = child.go();
  write_file(spec_->data_directory / "postmaster.pid", "1\n", 0644);
  ASSERT_TRUE(wait_until([&] { return !find_servers_in(spec_->data_directory).empty(); }));
  const ProcessHandle postmaster = start_ready();
  EXPECT_FALSE(other.is_running());
  EXPECT_TRUE(postmaster.is_running());
  ::waitpid(other.pid(), nullptr, 0);
}

TEST_F(NativeRuntime, RefusesADirectoryInWhichSomebodyElsesServerRuns) {
  start_ready();
  std::filesystem::rename(spec_->directory / "pid", temporary_.path() / "pid");
  try {
    runtime_->start(*spec_);
    ADD_FAILURE() << "a second server was started";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::conflict);
    EXPECT_THAT(error.hint(), HasSubstr("kill -INT"));
  }
  EXPECT_THROW(runtime_->stop(*spec_, StopMode::immediate, stop_timeout), Error);
  EXPECT_FALSE(find_servers_in(spec_->data_directory).empty());
  std::filesystem::rename(temporary_.path() / "pid", spec_->directory / "pid");
  EXPECT_TRUE(runtime_->find(*spec_));
}

TEST_F(NativeRuntime, SaysWhyAServerCannotBeExecuted) {
  spec_->postgres = postgres_programs() / "no-such-server";
  try {
    runtime_->start(*spec_);
    ADD_FAILURE() << "it was started";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::postgres_failed);
    EXPECT_THAT(error.message(), HasSubstr("No such file or directory"));
  }
  EXPECT_FALSE(std::filesystem::exists(spec_->directory / "pid"));
}

TEST_F(NativeRuntime, SaysThatItCannotEnterTheDataDirectory) {
  spec_->data_directory = temporary_.path() / "gone";
  try {
    runtime_->start(*spec_);
    ADD_FAILURE() << "it was started";
  } catch (const Error& error) {
    EXPECT_THAT(error.message(), HasSubstr("cannot enter its data directory"));
  }
}

TEST_F(NativeRuntime, NeverRunsAServerAsRoot) {
  spec_->user = OsUser{.uid = 0, .gid = 0, .name = "root"};
  try {
    runtime_->start(*spec_);
    ADD_FAILURE() << "it was started";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::not_allowed);
  }
}

TEST(WaitingChildOfADeadDaemon, EndsWithoutExecuting) {
  pgtwig::support::TemporaryDirectory temporary;
  int pipe_ends[2];
  ASSERT_EQ(::pipe(pipe_ends), 0);
  const pid_t daemon = ::fork();
  if (daemon == 0) {
    WaitingChild first({.executable = "/bin/touch",
                        .arguments = {(temporary.path() / "executed").string()},
                        .environment = {},
                        .user = OsUser::current(),
                        .directory = "/",
                        .log_fd = 2});
    // A second one, so that each might hold the other's channel open.
    WaitingChild second({.executable = "/bin/true",
                         .arguments = {},
                         .environment = {},
                         .user = OsUser::current(),
                         .directory = "/",
                         .log_fd = 2});
    const pid_t pids[] = {first.pid(), second.pid()};
    if (::write(pipe_ends[1], pids, sizeof pids) != sizeof pids) ::_exit(1);
    ::pause();
    ::_exit(0);
  }
  pid_t pids[2];
  ASSERT_EQ(::read(pipe_ends[0], pids, sizeof pids), static_cast<ssize_t>(sizeof pids));
  const auto first = ProcessHandle::open(pids[0]);
  const auto second = ProcessHandle::open(pids[1]);
  ::kill(daemon, SIGKILL);
  ::waitpid(daemon, nullptr, 0);
  ASSERT_TRUE(first && second);
  EXPECT_TRUE(first->wait_for_end(5s));
  EXPECT_TRUE(second->wait_for_end(5s));
  EXPECT_FALSE(std::filesystem::exists(temporary.path() / "executed"));
  ::close(pipe_ends[0]);
  ::close(pipe_ends[1]);
}

TEST(WaitingChildLetGo, ExecutesWithTheHighestLimitOfOpenFilesAndFilesOfItsOwn) {
  const mode_t umask_before = ::umask(0);
  WaitingChild child({.executable = "/bin/sleep",
                      .arguments = {"60"},
                      .environment = {},
                      .user = OsUser::current(),
                      .directory = "/",
                      .log_fd = 2});
  const ProcessHandle process = child.go();
  ::umask(umask_before);
  EXPECT_THAT(proc_file(process.pid(), "status"), HasSubstr("Umask:\t0077"));
  const std::string limits = proc_file(process.pid(), "limits");
  const auto line = limits.substr(limits.find("Max open files"));
  std::istringstream words(line.substr(std::string("Max open files").size()));
  std::string soft;
  std::string hard;
  words >> soft >> hard;
  EXPECT_EQ(soft, hard);
  process.send_signal(SIGKILL);
  ::waitpid(process.pid(), nullptr, 0);
}

}  // namespace
}  // namespace pgtwig::runtime
