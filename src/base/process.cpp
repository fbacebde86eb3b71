// Running other programs, and holding processes by pidfd.
#include "base/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "base/paths.h"

namespace pgtwig {

namespace {

// How long a killed child may take to be gone; one that hangs in the kernel may never be.
constexpr std::chrono::milliseconds kill_patience{5'000};
// Between two calls of a command's watch.
constexpr std::chrono::milliseconds pause_between_watches{50};
// How much is taken from a pipe at once, in buffers of 64 KiB: the most that a pipe of an ordinary user holds.
constexpr int parts_of_drain = 16;
// How much of what a failed program said goes into the error.
constexpr std::size_t reason_lines = 4;
constexpr std::size_t reason_bytes = 600;

// A passwd record, found by name or by uid.
struct PasswdEntry {
  uid_t uid;
  gid_t gid;
  std::string name;
  std::string home;
};

template <class Lookup>
std::optional<PasswdEntry> find_passwd(Lookup lookup) {
  std::vector<char> buffer(4096);
  passwd record{};
  passwd* found = nullptr;
  int error = 0;
  while ((error = lookup(&record, buffer.data(), buffer.size(), &found)) == ERANGE) buffer.resize(buffer.size() * 2);
  if (!found) return std::nullopt;
  return PasswdEntry{record.pw_uid, record.pw_gid, record.pw_name, record.pw_dir};
}

std::optional<PasswdEntry> find_passwd_of(uid_t uid) {
  return find_passwd([uid](passwd* record, char* buffer, std::size_t size, passwd** found) {
    return getpwuid_r(uid, record, buffer, size, found);
  });
}

std::vector<gid_t> groups_of(const OsUser& user) {
  int count = 32;
  std::vector<gid_t> groups(static_cast<std::size_t>(count));
  while (getgrouplist(user.name.c_str(), user.gid, groups.data(), &count) < 0) {
    groups.resize(std::max(groups.size() * 2, static_cast<std::size_t>(count)));
    count = static_cast<int>(groups.size());
  }
  groups.resize(static_cast<std::size_t>(count));
  return groups;
}

// Everything that the child needs between fork and exec, made before: there it may allocate nothing and take no lock.
struct Plan {
  std::string program;
  std::vector<std::string> environment_text;
  std::vector<char*> argv;
  std::vector<char*> environment;
  std::string directory;
  bool drops_to_user = false;
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;
  UniqueFd input;
  UniqueFd output;
  UniqueFd error_output;
  UniqueFd report;  // closed by a successful exec; says what failed otherwise
};

enum class Step : int { change_directory, change_user, exec };

struct StartFailure {
  Step step;
  int error_number;
};

// Above 2, so that the child can put 0, 1 and 2 in place in any order even if we ourselves have none of them.
UniqueFd above_standard(UniqueFd fd) {
  if (fd.get() > 2) return fd;
  UniqueFd moved(fcntl(fd.get(), F_DUPFD_CLOEXEC, 3));
  if (!moved) throw system_error(errno, "cannot duplicate a descriptor");
  return moved;
}

struct Pipe {
  UniqueFd read_end;
  UniqueFd write_end;
};

Pipe make_pipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw system_error(errno, "cannot make a pipe");
  UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  return {above_standard(std::move(read_end)), above_standard(std::move(write_end))};
}

UniqueFd duplicate(int fd) {
  UniqueFd copy(fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (!copy) throw system_error(errno, "cannot duplicate a descriptor");
  return copy;
}

// Input lies in a file in memory rather than in a pipe: nobody has to feed it, and nobody is hit by SIGPIPE.
UniqueFd make_input(const Command& command) {
  if (command.input_fd >= 0) return duplicate(command.input_fd);
  if (command.input.empty()) {
    UniqueFd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
    if (!null) throw system_error(errno, "cannot open /dev/null");
    return above_standard(std::move(null));
  }
  UniqueFd memory(memfd_create("pgtwig-input", MFD_CLOEXEC));
  if (!memory) throw system_error(errno, "cannot make a file in memory");
  std::string_view rest = command.input;
  while (!rest.empty()) {
    const ssize_t written = write(memory.get(), rest.data(), rest.size());
    if (written < 0 && errno != EINTR) throw system_error(errno, "cannot write a file in memory");
    if (written > 0) rest.remove_prefix(static_cast<std::size_t>(written));
  }
  lseek(memory.get(), 0, SEEK_SET);
  return above_standard(std::move(memory));
}

// Another user gets nothing of ours: variables of the daemon's can hold secrets, and what programs find by them.
std::map<std::string, std::string> clean_environment() {
  return {{"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, {"LANG", "C"}};
}

std::map<std::string, std::string> child_environment(const Command& command, const PasswdEntry* user) {
  const bool is_another = user && user->uid != geteuid();
  std::map<std::string, std::string> variables = is_another ? clean_environment() : current_environment();
  if (user) {
    variables["HOME"] = user->home;
    variables["USER"] = variables["LOGNAME"] = user->name;
  }
  for (const auto& [name, value] : command.environment) variables[name] = value;
  return variables;
}

// An ordinary user's PATH often lacks the folders of mkfs and mount.
std::string find_program(const std::string& name, const std::map<std::string, std::string>& environment) {
  if (name.find('/') != name.npos) return name;
  auto path = environment.find("PATH");
  std::string folders = path == environment.end() ? "/usr/local/bin:/usr/bin:/bin" : path->second;
  folders += ":/usr/local/sbin:/usr/sbin:/sbin";
  std::string_view rest = folders;
  while (true) {
    const std::size_t colon = rest.find(':');
    const std::string_view folder = rest.substr(0, colon);
    // An empty or relative entry would mean the working directory, which is nobody's intention here.
    if (folder.starts_with('/')) {
      std::string candidate = fmt::format("{}/{}", folder, name);
      if (access(candidate.c_str(), X_OK) == 0) return candidate;
    }
    if (colon == rest.npos) break;
    rest = rest.substr(colon + 1);
  }
  throw Error(ErrorCode::not_available, fmt::format("the program '{}' is not installed", name),
              "install the package that has it");
}

Plan make_plan(const Command& command) {
  if (command.argv.empty()) throw Error(ErrorCode::internal, "a command without a program was to be run");
  Plan plan;
  std::optional<PasswdEntry> user;
  if (command.user) {
    user = find_passwd_of(command.user->uid);
    if (!user) user = PasswdEntry{command.user->uid, command.user->gid, command.user->name, "/"};
    plan.drops_to_user = command.user->uid != geteuid();
    plan.uid = command.user->uid;
    plan.gid = command.user->gid;
    if (plan.drops_to_user) plan.groups = groups_of(*command.user);
  }
  const auto environment = child_environment(command, user ? &*user : nullptr);
  plan.program = find_program(command.argv[0], environment);
  for (const auto& [name, value] : environment) plan.environment_text.push_back(fmt::format("{}={}", name, value));
  for (std::string& text : plan.environment_text) plan.environment.push_back(text.data());
  plan.environment.push_back(nullptr);
  // execve() takes its arguments as not const, and leaves them alone.
  for (const std::string& argument : command.argv) plan.argv.push_back(const_cast<char*>(argument.c_str()));
  plan.argv.push_back(nullptr);
  plan.directory = command.directory.string();
  plan.input = make_input(command);
  return plan;
}

[[noreturn]] void report_and_exit(int report, Step step) {
  const StartFailure failure{step, errno};
  [[maybe_unused]] const ssize_t written = write(report, &failure, sizeof failure);
  _exit(127);
}

// Async-signal-safe throughout. The raw system calls are for the calling thread alone, which is all that a fork has;
// glibc's wrappers would look for other threads to change as well.
[[noreturn]] void become_program(const Plan& plan, pid_t parent) {
  for (int signal_number = 1; signal_number < NSIG; ++signal_number) signal(signal_number, SIG_DFL);
  setsid();  // a group to be killed by, and no terminal of ours to push characters into
  dup2(plan.input.get(), 0);
  dup2(plan.output.get(), 1);
  dup2(plan.error_output.get(), 2);
  close_descriptors_from(3, plan.report.get());
  if (plan.drops_to_user) {
    if (syscall(SYS_setgroups, plan.groups.size(), plan.groups.data()) != 0 ||
        syscall(SYS_setresgid, plan.gid, plan.gid, plan.gid) != 0 ||
        syscall(SYS_setresuid, plan.uid, plan.uid, plan.uid) != 0) {
      report_and_exit(plan.report.get(), Step::change_user);
    }
  }
  // A helper doesn't outlive us: what it makes would belong to nobody. After the change of user, which clears it.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);
  if (chdir(plan.directory.c_str()) != 0) report_and_exit(plan.report.get(), Step::change_directory);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  execve(plan.program.c_str(), plan.argv.data(), plan.environment.data());
  report_and_exit(plan.report.get(), Step::exec);
}

// All signals are blocked over the fork, so that none of our handlers ever runs in the child.
pid_t fork_program(const Plan& plan) {
  const pid_t parent = getpid();
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t pid = fork();
  if (pid == 0) become_program(plan, parent);
  const int error_number = errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) throw system_error(error_number, "cannot start a process");
  return pid;
}

Error start_error(const StartFailure& failure, const Command& command) {
  switch (failure.step) {
    case Step::change_directory:
      return system_error(failure.error_number, fmt::format("cannot change to {}", command.directory.string()));
    case Step::change_user:
      return system_error(failure.error_number, fmt::format("cannot run {} as user {}", command.argv[0],
                                                            command.user ? command.user->name : "?"));
    case Step::exec:
      return system_error(failure.error_number, fmt::format("cannot run {}", command.argv[0]));
  }
  return system_error(failure.error_number, "cannot run a program");
}

int to_poll_timeout(std::chrono::steady_clock::time_point deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, 1'000'000));
}

// One of the child's output streams.
class Collector {
 public:
  Collector(UniqueFd fd, std::string& text, std::size_t limit) : fd_(std::move(fd)), text_(text), limit_(limit) {
    fcntl(fd_.get(), F_SETFL, O_NONBLOCK);
  }
  // poll() ignores -1, which this is after the end.
  int fd() const { return fd_.get(); }
  // Takes what is there now, and not what a writer adds without end.
  void drain() {
    std::array<char, 65536> buffer;
    for (int part = 0; fd_ && part < parts_of_drain; ++part) {
      const ssize_t got = read(fd_.get(), buffer.data(), buffer.size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0 && errno == EAGAIN) return;
      if (got <= 0) {
        fd_.reset();
        return;
      }
      text_.append(buffer.data(), std::min(static_cast<std::size_t>(got), limit_ - text_.size()));
    }
  }

 private:
  UniqueFd fd_;
  std::string& text_;
  std::size_t limit_;
};

class Child {
 public:
  explicit Child(pid_t pid) : pid_(pid), pidfd_(static_cast<int>(syscall(SYS_pidfd_open, pid, 0))) {
    if (!pidfd_) {
      const int error_number = errno;
      kill_and_wait();
      throw system_error(error_number, "cannot open a pidfd");
    }
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (!reaped_) kill_and_wait();
  }
  int pidfd() const { return pidfd_.get(); }

  int wait() {
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0) {
      if (errno != EINTR) throw system_error(errno, "cannot wait for a process");
    }
    reaped_ = true;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }

 private:
  void kill_and_wait() {
    // Its whole group, and itself for the moment before it has one.
    kill(-pid_, SIGKILL);
    kill(pid_, SIGKILL);
    if (pidfd_) {
      pollfd ended{pidfd_.get(), POLLIN, 0};
      const auto deadline = std::chrono::steady_clock::now() + kill_patience;
      int ready = 0;
      while ((ready = poll(&ended, 1, to_poll_timeout(deadline))) < 0 && errno == EINTR) {
      }
      if (ready <= 0) return;
    }
    while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }

  pid_t pid_;
  UniqueFd pidfd_;
  bool reaped_ = false;
};

Error timeout_error(const Command& command) {
  return {ErrorCode::timed_out, fmt::format("{} did not end within {} s and was killed", command.argv[0],
                                            std::chrono::duration<double>(command.timeout).count())};
}

// What kept the child from executing the program; nullopt when nothing did.
std::optional<StartFailure> wait_for_start(int report, const Command& command,
                                           std::chrono::steady_clock::time_point deadline) {
  pollfd reported{report, POLLIN, 0};
  int ready = 0;
  while ((ready = poll(&reported, 1, to_poll_timeout(deadline))) < 0 && errno == EINTR) {
  }
  if (ready < 0) throw system_error(errno, "cannot wait for a process");
  if (ready == 0) throw timeout_error(command);
  StartFailure failure{};
  const ssize_t got = read(report, &failure, sizeof failure);
  return got == static_cast<ssize_t>(sizeof failure) ? std::optional(failure) : std::nullopt;
}

void collect_until_end(const Child& child, Collector& output, Collector& error_output, const Command& command,
                       std::chrono::steady_clock::time_point deadline) {
  auto next_watch = command.watch ? std::chrono::steady_clock::now() : std::chrono::steady_clock::time_point::max();
  while (true) {
    std::array<pollfd, 3> waiting = {
        {{child.pidfd(), POLLIN, 0}, {output.fd(), POLLIN, 0}, {error_output.fd(), POLLIN, 0}}};
    const int ready = poll(waiting.data(), waiting.size(), to_poll_timeout(std::min(deadline, next_watch)));
    if (ready < 0 && errno != EINTR) throw system_error(errno, "cannot wait for a process");
    // Its end, not the end of its output: a server that it left behind may hold the pipes open for ever.
    const bool ended = ready > 0 && (waiting[0].revents & POLLIN);
    output.drain();
    error_output.drain();
    if (ended) return;
    const auto now = std::chrono::steady_clock::now();
    if (now >= next_watch) {
      if (command.watch()) deadline = now + command.timeout;
      next_watch = now + pause_between_watches;
    }
    if (now >= deadline) throw timeout_error(command);
  }
}

// The last lines of a text, for an error message.
std::string last_lines(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  std::size_t begin = text.size();
  for (std::size_t lines = 0; lines < reason_lines && begin != text.npos && begin > 0; ++lines) {
    begin = text.rfind('\n', begin - 1);
  }
  if (begin != text.npos && !text.empty()) text.remove_prefix(begin == 0 ? 0 : begin + 1);
  if (text.size() > reason_bytes) text.remove_prefix(text.size() - reason_bytes);
  return std::string(text);
}

}  // namespace

OsUser OsUser::current() {
  const uid_t uid = geteuid();
  auto entry = find_passwd_of(uid);
  return {.uid = uid, .gid = getegid(), .name = entry ? entry->name : std::to_string(uid)};
}

std::optional<OsUser> OsUser::find(const std::string& name) {
  auto entry = find_passwd([&name](passwd* record, char* buffer, std::size_t size, passwd** found) {
    return getpwnam_r(name.c_str(), record, buffer, size, found);
  });
  if (!entry) return std::nullopt;
  return OsUser{.uid = entry->uid, .gid = entry->gid, .name = entry->name};
}

CommandResult run_command(const Command& command) {
  Plan plan = make_plan(command);
  Pipe output = make_pipe();
  Pipe error_output =
      command.error_fd < 0 ? make_pipe() : Pipe{.read_end = {}, .write_end = duplicate(command.error_fd)};
  Pipe report = make_pipe();
  plan.output = std::move(output.write_end);
  plan.error_output = std::move(error_output.write_end);
  plan.report = std::move(report.write_end);

  const auto deadline = std::chrono::steady_clock::now() + command.timeout;
  Child child(fork_program(plan));
  plan.input.reset();
  plan.output.reset();
  plan.error_output.reset();
  plan.report.reset();

  if (const auto failure = wait_for_start(report.read_end.get(), command, deadline))
    throw start_error(*failure, command);

  CommandResult result;
  Collector output_collector(std::move(output.read_end), result.output, command.output_limit);
  Collector error_collector(std::move(error_output.read_end), result.error_output, command.output_limit);
  collect_until_end(child, output_collector, error_collector, command, deadline);
  result.exit_status = child.wait();
  return result;
}

CommandResult run_command_checked(const Command& command, std::string_view action, ErrorCode code) {
  CommandResult result = run_command(command);
  if (result.exit_status == 0) return result;
  std::string reason = last_lines(result.error_output);
  if (reason.empty()) reason = last_lines(result.output);
  if (reason.empty()) reason = fmt::format("{} ended with status {}", command.argv[0], result.exit_status);
  throw Error(code, fmt::format("{}: {}", action, reason));
}

void close_descriptors_from(int first, int keep) {
  const auto close_range = [](unsigned begin, unsigned end) {
    if (begin > end || syscall(SYS_close_range, begin, end, 0) == 0) return;
    rlimit limit{};
    const unsigned bound = getrlimit(RLIMIT_NOFILE, &limit) == 0 ? static_cast<unsigned>(limit.rlim_cur) : 65536;
    for (unsigned fd = begin; fd <= end && fd < bound; ++fd) close(static_cast<int>(fd));
  };
  if (keep < first) {
    close_range(static_cast<unsigned>(first), ~0u);
    return;
  }
  if (keep > first) close_range(static_cast<unsigned>(first), static_cast<unsigned>(keep) - 1);
  close_range(static_cast<unsigned>(keep) + 1, ~0u);
}

std::optional<std::uint64_t> process_start_ticks(pid_t pid) {
  auto text = read_file_if_exists(fmt::format("/proc/{}/stat", pid));
  if (!text) return std::nullopt;
  // The second field is the program's name in parentheses, which may hold anything; the third begins behind it.
  const std::size_t name_end = text->rfind(')');
  if (name_end == text->npos) return std::nullopt;
  std::string_view rest = std::string_view(*text).substr(name_end + 1);
  for (int field = 3; field <= 22; ++field) {
    const std::size_t space = rest.find(' ');
    if (space == rest.npos) return std::nullopt;
    rest.remove_prefix(space + 1);
  }
  std::uint64_t ticks = 0;
  auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), ticks);
  if (error != std::errc{}) return std::nullopt;
  return ticks;
}

std::optional<pid_t> pid_in_own_namespace(pid_t pid) {
  const std::string status = read_file_if_exists(fmt::format("/proc/{}/status", pid)).value_or("");
  constexpr std::string_view key = "\nNSpid:\t";  // from the outermost namespace that we see to its own
  const auto start = status.find(key);
  if (start == std::string::npos) return std::nullopt;
  const std::string_view line = std::string_view(status).substr(start + key.size());
  const std::string_view numbers = line.substr(0, line.find('\n'));
  const std::string_view last = numbers.substr(numbers.rfind('\t') + 1);
  pid_t own = 0;
  const auto [end, error] = std::from_chars(last.data(), last.data() + last.size(), own);
  if (error != std::errc{}) return std::nullopt;
  return own;
}

std::string boot_id() {
  std::string text = read_file("/proc/sys/kernel/random/boot_id");
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

std::optional<ProcessHandle> ProcessHandle::open(pid_t pid) {
  UniqueFd fd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!fd) {
    // EINVAL: not a process's number at all, or that of a thread.
    if (errno == ESRCH || errno == EINVAL) return std::nullopt;
    throw system_error(errno, fmt::format("cannot open process {}", pid));
  }
  return ProcessHandle(pid, std::move(fd));
}

bool ProcessHandle::is_running() const {
  return !wait_for_end(std::chrono::milliseconds(0));
}

bool ProcessHandle::wait_for_end(std::chrono::milliseconds timeout) const {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  pollfd ended{fd_.get(), POLLIN, 0};
  while (true) {
    const int ready = poll(&ended, 1, to_poll_timeout(deadline));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) throw system_error(errno, fmt::format("cannot wait for process {}", pid_));
    if (std::chrono::steady_clock::now() >= deadline) return false;
  }
}

bool ProcessHandle::send_signal(int signal) const {
  // One that has ended, but that its parent has not asked after, still takes signals and does nothing with them.
  if (!is_running()) return false;
  if (syscall(SYS_pidfd_send_signal, fd_.get(), signal, nullptr, 0) == 0) return true;
  if (errno == ESRCH) return false;
  throw system_error(errno, fmt::format("cannot send signal {} to process {}", signal, pid_));
}

}  // namespace pgtwig
