// See native_runtime.h. The daemon is the parent of the postmasters it starts, but nothing depends on it: they have
// their own session, and the next daemon finds them by their pid records.
#include "runtime/native/native_runtime.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <mutex>
#include <thread>

#include "base/fs.h"
#include "runtime/native/data_directory_servers.h"
#include "runtime/native/pid_record.h"
#include "runtime/native/process_facts.h"
#include "runtime/native/spawn.h"

namespace pgtwig::runtime {
namespace {

using namespace std::chrono_literals;
using SteadyTime = std::chrono::steady_clock::time_point;

// How long a start waits for what a killed postmaster of the same directory left running.
constexpr auto orphan_timeout = 10s;
// How long a server may take over an immediate stop, in which it has nothing to write, before it is killed.
constexpr auto immediate_stop_patience = 10s;
// How long killed processes may take to be gone; one that hangs in the kernel may never be.
constexpr auto kill_patience = 5s;
// How long a process that another daemon just let go may take to become PostgreSQL.
constexpr auto execution_timeout = 2s;

std::chrono::milliseconds time_left(SteadyTime deadline) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  return std::max(left, 0ms);
}

void check_user(const OsUser& user) {
  if (user.uid == 0) {
    throw Error(ErrorCode::not_allowed, "PostgreSQL never runs as root", "run `pgtwig setup` to make its own user");
  }
  if (::geteuid() != 0 && ::geteuid() != user.uid) {
    throw Error(ErrorCode::not_allowed, fmt::format("only root can run PostgreSQL as {}", user.name));
  }
}

UniqueFd open_log(const std::filesystem::path& file) {
  UniqueFd log(::open(file.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, 0600));
  if (!log) throw system_error(errno, fmt::format("cannot open {}", file.string()));
  return log;
}

// PG* variables, locale and time zone of whoever started the daemon must not reach the server.
std::map<std::string, std::string> clean_environment(const InstanceSpec& spec) {
  std::map<std::string, std::string> environment = spec.environment;
  environment.try_emplace("PATH", "/usr/local/bin:/usr/bin:/bin");
  environment.try_emplace("LANG", "C");
  return environment;
}

std::vector<std::string> server_arguments(const InstanceSpec& spec) {
  std::vector<std::string> arguments{"-D", spec.data_directory.string()};
  for (const auto& [name, value] : spec.settings) {
    arguments.emplace_back("-c");
    arguments.push_back(name + "=" + value);
  }
  return arguments;
}

// Lock files that a killed postmaster left: PostgreSQL takes them for valid when any process of this user has the
// number they hold by now, which after a restart of the machine is likely.
void remove_stale_lock_files(const InstanceSpec& spec) {
  const UniqueFd data = open_directory(spec.data_directory);
  if (::unlinkat(data.get(), "postmaster.pid", 0) != 0 && errno != ENOENT) {
    throw system_error(errno, fmt::format("cannot remove {}/postmaster.pid", spec.data_directory.string()));
  }
  const std::filesystem::path sockets = spec.directory / "s";
  if (!std::filesystem::exists(sockets)) return;
  const UniqueFd socket_directory = open_directory(sockets);
  for (const auto& entry : std::filesystem::directory_iterator(sockets)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(".s.PGSQL.")) ::unlinkat(socket_directory.get(), name.c_str(), 0);
  }
}

bool end_by_request(const ProcessHandle& postmaster, SteadyTime deadline) {
  postmaster.send_signal(SIGINT);
  return postmaster.wait_for_end(time_left(deadline));
}

// One that is stopped, or that its superuser's code keeps busy, does not heed the request.
bool end_at_once(const ProcessHandle& postmaster, SteadyTime deadline) {
  postmaster.send_signal(SIGQUIT);
  if (postmaster.wait_for_end(std::min<std::chrono::milliseconds>(time_left(deadline), immediate_stop_patience))) {
    return true;
  }
  postmaster.send_signal(SIGKILL);
  return postmaster.wait_for_end(kill_patience);
}

class NativeRuntime final : public InstanceRuntime {
 public:
  std::string_view name() const override { return "native"; }
  ProcessHandle start(const InstanceSpec& spec) override;
  std::optional<ProcessHandle> find(const InstanceSpec& spec) override;
  void stop(const InstanceSpec& spec, StopMode mode, std::chrono::milliseconds timeout) override;

 private:
  void remember_child(pid_t pid);
  void reap_children();

  std::mutex mutex_;
  std::vector<ProcessHandle> children_;  // that this process started and has not reaped
};

ProcessHandle NativeRuntime::start(const InstanceSpec& spec) {
  check_user(spec.user);
  if (const auto running = find(spec)) {
    throw Error(ErrorCode::conflict, fmt::format("PostgreSQL already runs there, as process {}", running->pid()));
  }
  std::error_code ignored;
  const bool ended_uncleanly = std::filesystem::exists(spec.data_directory / "postmaster.pid", ignored) ||
                               std::filesystem::exists(spec.directory / "pid", ignored);
  if (ended_uncleanly) {
    end_orphans_in(spec.data_directory, spec.user.uid, std::chrono::steady_clock::now() + orphan_timeout);
    remove_stale_lock_files(spec);
  }
  make_directories(spec.log_file.parent_path(), 0700);
  const UniqueFd log = open_log(spec.log_file);
  WaitingChild child({.executable = spec.postgres,
                      .arguments = server_arguments(spec),
                      .environment = clean_environment(spec),
                      .user = spec.user,
                      .directory = spec.data_directory,
                      .log_fd = log.get()});
  const auto start_ticks = process_start_ticks(child.pid());
  if (!start_ticks) throw Error(ErrorCode::internal, "cannot read the start time of a process just started");
  write_pid_record(spec.directory, {.pid = child.pid(),
                                    .start_ticks = *start_ticks,
                                    .boot_id = boot_id(),
                                    .executable = std::filesystem::weakly_canonical(spec.postgres),
                                    .uid = spec.user.uid});
  try {
    ProcessHandle postmaster = child.go();
    remember_child(postmaster.pid());
    return postmaster;
  } catch (const Error&) {
    remove_pid_record(spec.directory);
    throw;
  }
}

std::optional<ProcessHandle> NativeRuntime::find(const InstanceSpec& spec) {
  reap_children();
  const auto record = read_pid_record(spec.directory);
  if (!record || record->uid != spec.user.uid || record->boot_id != boot_id()) return std::nullopt;
  auto process = ProcessHandle::open(record->pid);
  if (!process || process_start_ticks(record->pid) != record->start_ticks) return std::nullopt;

  const auto own_executable = process_executable(::getpid());
  const SteadyTime deadline = std::chrono::steady_clock::now() + execution_timeout;
  while (process->is_running()) {
    const auto executable = process_executable(record->pid);
    if (executable == record->executable) {
      const bool is_ours =
          process_user(record->pid) == record->uid && works_in_directory(record->pid, spec.data_directory);
      if (is_ours) return process;
      return std::nullopt;
    }
    // Still this very program: let go by a daemon that died at once, and about to become PostgreSQL.
    if (executable != own_executable || std::chrono::steady_clock::now() > deadline) return std::nullopt;
    std::this_thread::sleep_for(1ms);
  }
  return std::nullopt;
}

void NativeRuntime::stop(const InstanceSpec& spec, StopMode mode, std::chrono::milliseconds timeout) {
  const SteadyTime deadline = std::chrono::steady_clock::now() + timeout;
  if (const auto postmaster = find(spec)) {
    const bool ended =
        mode == StopMode::fast ? end_by_request(*postmaster, deadline) : end_at_once(*postmaster, deadline);
    if (!ended) {
      throw Error(ErrorCode::timed_out,
                  fmt::format("PostgreSQL (process {}) is still stopping after {} s", postmaster->pid(),
                              std::chrono::duration_cast<std::chrono::seconds>(timeout).count()));
    }
    reap_children();
    if (mode == StopMode::immediate) kill_servers_in(spec.data_directory, spec.user.uid);
  }
  // A postmaster that was killed, now or before, has not waited for its children.
  end_orphans_in(spec.data_directory, spec.user.uid, deadline);
  remove_pid_record(spec.directory);
}

void NativeRuntime::remember_child(pid_t pid) {
  auto handle = ProcessHandle::open(pid);
  const std::lock_guard lock(mutex_);
  if (handle) children_.push_back(std::move(*handle));
}

// Ended children stay zombies until their parent asks; who else asks for one is no harm.
void NativeRuntime::reap_children() {
  const std::lock_guard lock(mutex_);
  std::erase_if(children_, [](const ProcessHandle& child) {
    siginfo_t info{};
    const int result =
        ::waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(child.fd()), &info, WEXITED | WNOHANG);
    return result == 0 ? info.si_pid != 0 : errno == ECHILD;
  });
}

}  // namespace

std::unique_ptr<InstanceRuntime> make_native_runtime() {
  return std::make_unique<NativeRuntime>();
}

}  // namespace pgtwig::runtime
