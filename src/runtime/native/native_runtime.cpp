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
#include "runtime/data_directory_servers.h"
#include "runtime/native/spawn.h"
#include "runtime/pid_record.h"
#include "runtime/postmaster.h"
#include "runtime/process_facts.h"

namespace pgtwig::runtime {
namespace {

using namespace std::chrono_literals;

// How long a process that another daemon just let go may take to become PostgreSQL.
constexpr auto exec_patience = 2s;

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

class NativeRuntime final : public InstanceRuntime {
 public:
  std::string_view name() const override { return "native"; }
  std::optional<ProcessHandle> start(const InstanceSpec& spec) override;
  std::optional<ProcessHandle> find(const InstanceSpec& spec) override;
  void stop(const InstanceSpec& spec, StopMode mode, std::chrono::milliseconds timeout) override;

 private:
  void remember_child(pid_t pid);
  void reap_children();

  std::mutex mutex_;
  std::vector<ProcessHandle> children_;  // that this process started and has not reaped
};

std::optional<ProcessHandle> NativeRuntime::start(const InstanceSpec& spec) {
  check_user(spec.user);
  if (const auto running = find(spec)) {
    throw Error(ErrorCode::conflict, fmt::format("PostgreSQL already runs there, as process {}", running->pid()));
  }
  clear_way_for_start(spec);
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
  const SteadyTime deadline = std::chrono::steady_clock::now() + exec_patience;
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
  bool is_empty = false;
  if (const auto postmaster = find(spec)) {
    end_postmaster(*postmaster, mode, deadline);
    reap_children();
    is_empty = mode == StopMode::immediate && kill_servers_in(spec.data_directory, spec.user.uid);
  }
  // A postmaster that was killed, now or before, has not waited for its children.
  if (!is_empty) end_orphans_in(spec.data_directory, spec.user.uid, deadline);
  remove_shared_memory_of(spec.data_directory, spec.user.uid);
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
