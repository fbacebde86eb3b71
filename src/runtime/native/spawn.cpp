// See spawn.h. Between fork and exec the child may only do what is async-signal-safe, since other threads of the daemon
// may have held any lock at the fork: everything that allocates or looks something up happens before it, and users are
// changed by the bare system calls, as glibc's wrappers would signal threads that are not there.
#include "runtime/native/spawn.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "base/log.h"
#include "runtime/postmaster.h"

namespace pgtwig::runtime {
namespace {

using namespace std::chrono_literals;

// How long a child may take to become the server; a program on a disk that does not answer never does.
constexpr auto record_patience = 10s;

// What the child was doing when it failed, and errno: the message that it sends over the channel.
enum class Step : int { change_user, move_descriptors, set_limits, enter_directory, execute };
struct Failure {
  Step step;
  int error_number;
};

std::string step_text(Step step) {
  switch (step) {
    case Step::change_user:
      return "become its user";
    case Step::move_descriptors:
      return "redirect its output";
    case Step::set_limits:
      return "raise its limit of open files";
    case Step::enter_directory:
      return "enter its data directory";
    case Step::execute:
      return "execute it";
  }
  return "start it";
}

// Everything that the child needs, in the shape in which the system calls take it.
struct ChildPlan {
  const char* executable;
  char* const* arguments;
  char* const* environment;
  const char* directory;
  int log_fd;
  int channel;
  bool change_user;
  uid_t uid;
  gid_t gid;
  const gid_t* groups;
  std::size_t group_count;
  rlimit open_files;
};

[[noreturn]] void fail_in_child(const ChildPlan& plan, Step step) {
  const Failure failure{step, errno};
  [[maybe_unused]] const auto sent = ::send(plan.channel, &failure, sizeof failure, MSG_NOSIGNAL);
  ::_exit(127);
}

void change_user_in_child(const ChildPlan& plan) {
  if (!plan.change_user) return;
  if (::syscall(SYS_setgroups, plan.group_count, plan.groups) != 0 ||
      ::syscall(SYS_setresgid, plan.gid, plan.gid, plan.gid) != 0 ||
      ::syscall(SYS_setresuid, plan.uid, plan.uid, plan.uid) != 0) {
    fail_in_child(plan, Step::change_user);
  }
}

void reset_signals_in_child() {
  struct sigaction standard{};
  standard.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; ++signal) ::sigaction(signal, &standard, nullptr);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

// Ends the process when the other side of the channel is gone.
void wait_for_go_in_child(const ChildPlan& plan) {
  char go = 0;
  ssize_t received = 0;
  do {
    received = ::read(plan.channel, &go, 1);
  } while (received < 0 && errno == EINTR);
  if (received != 1) ::_exit(0);
}

[[noreturn]] void run_child(const ChildPlan& plan) {
  ::setsid();
  ::umask(077);
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0 || ::dup2(plan.log_fd, 1) < 0 || ::dup2(plan.log_fd, 2) < 0 || ::dup2(null, 0) < 0) {
    fail_in_child(plan, Step::move_descriptors);
  }
  // Before the wait: a copy of another child's channel held here would keep that child waiting for ever.
  close_descriptors_from(3, plan.channel);
  if (::setrlimit(RLIMIT_NOFILE, &plan.open_files) != 0) fail_in_child(plan, Step::set_limits);
  change_user_in_child(plan);
  if (::chdir(plan.directory) != 0) fail_in_child(plan, Step::enter_directory);
  wait_for_go_in_child(plan);
  reset_signals_in_child();
  ::execve(plan.executable, plan.arguments, plan.environment);
  fail_in_child(plan, Step::execute);
}

// All signals of this thread held back: no handler of the daemon may run in the child.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

std::vector<gid_t> groups_of(const OsUser& user) {
  std::vector<gid_t> groups(32);
  int count = static_cast<int>(groups.size());
  while (::getgrouplist(user.name.c_str(), user.gid, groups.data(), &count) < 0) {
    groups.resize(std::max<std::size_t>(static_cast<std::size_t>(count), groups.size() * 2));
    count = static_cast<int>(groups.size());
  }
  groups.resize(static_cast<std::size_t>(count));
  return groups;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (std::string& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

// 0, 1 and 2 are where the child puts its own, so nothing it still needs may lie there.
UniqueFd above_standard_streams(UniqueFd fd) {
  if (fd.get() > 2) return fd;
  UniqueFd copy(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 3));
  if (!copy) throw system_error(errno, "cannot duplicate a descriptor");
  return copy;
}

std::array<UniqueFd, 2> make_channel() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    throw system_error(errno, "cannot make a socket pair");
  }
  UniqueFd first(ends[0]);
  UniqueFd second(ends[1]);
  return {above_standard_streams(std::move(first)), above_standard_streams(std::move(second))};
}

// Whether the other end said something or closed before the time is over.
bool wait_for_message(int channel) {
  const auto deadline = std::chrono::steady_clock::now() + record_patience;
  pollfd waiting{.fd = channel, .events = POLLIN, .revents = 0};
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    const int ready = ::poll(&waiting, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) throw system_error(errno, "cannot wait for a process to become PostgreSQL");
    if (ready == 0) return false;
  }
}

rlimit highest_open_files() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) throw system_error(errno, "cannot read the limit of open files");
  limit.rlim_cur = limit.rlim_max;
  return limit;
}

}  // namespace

WaitingChild::WaitingChild(const SpawnOptions& options) : executable_(options.executable) {
  std::vector<std::string> arguments{options.executable.string()};
  arguments.insert(arguments.end(), options.arguments.begin(), options.arguments.end());
  std::vector<std::string> environment;
  for (const auto& [name, value] : options.environment) environment.push_back(name + "=" + value);
  const std::vector<char*> argument_pointers = pointers(arguments);
  const std::vector<char*> environment_pointers = pointers(environment);
  const std::string directory = options.directory.string();
  const bool change_user = ::geteuid() == 0;
  const std::vector<gid_t> groups = change_user ? groups_of(options.user) : std::vector<gid_t>{};
  UniqueFd log(::fcntl(options.log_fd, F_DUPFD_CLOEXEC, 3));
  if (!log) throw system_error(errno, "cannot duplicate a descriptor");
  auto [parent_end, child_end] = make_channel();

  const ChildPlan plan{.executable = executable_.c_str(),
                       .arguments = argument_pointers.data(),
                       .environment = environment_pointers.data(),
                       .directory = directory.c_str(),
                       .log_fd = log.get(),
                       .channel = child_end.get(),
                       .change_user = change_user,
                       .uid = options.user.uid,
                       .gid = options.user.gid,
                       .groups = groups.data(),
                       .group_count = groups.size(),
                       .open_files = highest_open_files()};
  {
    const SignalsBlocked blocked;
    pid_ = ::fork();
    if (pid_ == 0) run_child(plan);
  }
  if (pid_ < 0) throw system_error(errno, "cannot fork");
  channel_ = std::move(parent_end);
}

// Killed rather than left to notice: other processes of its user can stop it at any moment.
WaitingChild::~WaitingChild() {
  if (gone_) return;
  channel_.reset();
  ::kill(pid_, SIGKILL);
  try {
    const auto handle = ProcessHandle::open(pid_);
    if (handle && !handle->wait_for_end(kill_patience)) {
      log::warn("process {}, killed before it became a server, does not end", pid_);
      return;
    }
  } catch (const Error& error) {
    log::warn("cannot watch process {} end: {}", pid_, error.message());
    return;
  }
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

ProcessHandle WaitingChild::go() {
  auto handle = ProcessHandle::open(pid_);
  if (!handle) throw Error(ErrorCode::internal, "cannot get hold of a process just started");
  // A child that has failed already has closed its end; its message is what counts.
  [[maybe_unused]] const auto sent = ::send(channel_.get(), "g", 1, MSG_NOSIGNAL);
  Failure failure{};
  if (!wait_for_message(channel_.get())) {
    throw Error(ErrorCode::timed_out, fmt::format("{} was not executed within {} s", executable_.string(),
                                                  std::chrono::seconds(record_patience).count()));
  }
  // The message comes as a whole or, when the channel was closed by a successful exec, not at all.
  const ssize_t received = ::recv(channel_.get(), &failure, sizeof failure, MSG_DONTWAIT);
  if (received == sizeof failure) {
    Error error = system_error(failure.error_number, fmt::format("cannot {}", step_text(failure.step)));
    throw Error(ErrorCode::postgres_failed,
                fmt::format("{} was not started: {}", executable_.string(), error.message()));
  }
  gone_ = true;
  return std::move(*handle);
}

}  // namespace pgtwig::runtime
