#include "main/surroundings.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <malloc.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <set>
#include <vector>

#include "api/socket_stream.h"
#include "base/error.h"
#include "base/log.h"
#include "helper/helper_program.h"

namespace pgtwig {
namespace {

constexpr const char* instance_user_name = "pgtwig-pg";
constexpr const char* socket_group_name = "pgtwig";
// A daemon that was told to stop finishes its operations and ends what was deleted, but closes its socket at once. Who
// started this one waits a little longer, and so hears why it did not begin.
constexpr std::chrono::seconds predecessor_patience{25};
constexpr std::chrono::milliseconds look_again{20};
// Two for each running instance (its process, a connection to it), and one for each connection from outside.
constexpr rlim_t wanted_descriptors = 65'536;
constexpr int largest_on_the_heap = 1 << 20;  // bytes

// " (pid 123)", of the daemon that holds the lock.
std::string pid_of_other(const Paths& paths) {
  std::string pid = read_file_if_exists(paths.pid_file()).value_or("");
  while (!pid.empty() && pid.back() == '\n') pid.pop_back();
  return pid.empty() ? "" : fmt::format(" (pid {})", pid);
}

DaemonLock wait_for_lock(const Paths& paths) {
  auto deadline = std::chrono::steady_clock::now() + predecessor_patience;
  for (;;) {
    if (auto run = FileLock::try_acquire(paths.daemon_lock())) {
      if (auto state = FileLock::try_acquire(paths.state_lock())) return DaemonLock{std::move(*run), std::move(*state)};
    }
    if (api::connect_unix_socket(paths.socket)) {
      throw Error(ErrorCode::conflict,
                  fmt::format("a pgtwig daemon{} serves {} already", pid_of_other(paths), paths.state.string()),
                  "use it, or stop it with: pgtwig daemon stop");
    }
    if (std::chrono::steady_clock::now() > deadline) {
      throw Error(
          ErrorCode::busy,
          fmt::format("another daemon{} is still ending, or only beginning, and answers nobody", pid_of_other(paths)),
          fmt::format("try again later; its log is {}", paths.log_file().string()));
    }
    ::poll(nullptr, 0, static_cast<int>(look_again.count()));
  }
}

}  // namespace

void refuse_foreign_directories(const Paths& paths) {
  for (const std::filesystem::path& path : {paths.state, paths.run}) {
    struct stat status{};
    if (::stat(path.c_str(), &status) != 0) throw system_error(errno, fmt::format("cannot look at {}", path.string()));
    bool is_shared = (status.st_mode & (S_IWGRP | S_IWOTH)) != 0 && (status.st_mode & S_ISVTX) == 0;
    if (status.st_uid == ::geteuid() && !is_shared) continue;
    throw Error(
        ErrorCode::not_allowed,
        fmt::format("{} can be changed by another user than the one who starts this daemon", path.string()),
        "run pgtwig as the directory's owner and keep others from writing to it, or choose another PGTWIG_ROOT");
  }
}

DaemonLock take_daemon_lock(const Paths& paths) {
  DaemonLock lock = wait_for_lock(paths);
  write_file(paths.pid_file(), fmt::format("{}\n", ::getpid()), 0644);
  return lock;
}

void set_up_log(const Paths& paths, const Config& config) {
  bool is_watched = ::isatty(STDERR_FILENO) == 1 || std::getenv("JOURNAL_STREAM") != nullptr;
  log::set_up(is_watched ? std::filesystem::path() : paths.log_file(), config.log_level);
}

OsUser find_instance_user(const OsUser& daemon_user) {
  if (daemon_user.uid != 0) return daemon_user;
  if (auto user = OsUser::find(instance_user_name)) return *user;
  log::info("making the system user {}, which PostgreSQL will run as", instance_user_name);
  CommandResult result = run_command({.argv = {"useradd", "--system", "--user-group", "--no-create-home", "--home-dir",
                                               "/nonexistent", "--shell", "/usr/sbin/nologin", instance_user_name}});
  // Another installation's daemon may have made it in the same moment.
  if (auto user = OsUser::find(instance_user_name)) return *user;
  throw Error(
      ErrorCode::internal, fmt::format("cannot make the system user {}: {}", instance_user_name, result.error_output),
      fmt::format("make it by hand: useradd --system --user-group --shell /usr/sbin/nologin {}", instance_user_name));
}

std::optional<gid_t> find_socket_group(bool is_root) {
  if (!is_root) return std::nullopt;
  std::vector<char> space(64u << 10);
  group record{};
  group* found = nullptr;
  if (::getgrnam_r(socket_group_name, &record, space.data(), space.size(), &found) != 0 || !found) return std::nullopt;
  return found->gr_gid;
}

void prepare_process() {
  ::umask(022);
  // The library's own limit grows to 32 MiB with the largest buffer that was ever freed; what is below it stays in the
  // heap of the thread that had it.
  ::mallopt(M_MMAP_THRESHOLD, largest_on_the_heap);
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < wanted_descriptors) {
    limit.rlim_cur = std::min(limit.rlim_max, wanted_descriptors);
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
  for (const auto& [name, value] : current_environment()) {
    if (name.starts_with("PG") && !name.starts_with("PGTWIG_")) ::unsetenv(name.c_str());
  }
}

std::filesystem::path install_helper(const Paths& paths) {
  const std::filesystem::path helper = paths.helper();
  make_directories(helper.parent_path(), 0755);
  if (read_file_if_exists(helper) == helper_program()) return helper;
  // Instances run the one of before until the moment the new one has its name.
  write_file_durably(helper, helper_program(), 0755);
  return helper;
}

void refuse_closed_directories(const Paths& paths, const OsUser& instance_user) {
  if (::geteuid() == instance_user.uid) return;
  std::set<std::filesystem::path> above;
  for (std::filesystem::path path : {paths.pools(), paths.instances()}) {
    for (; path != path.parent_path(); path = path.parent_path()) above.insert(path);
  }
  for (const std::filesystem::path& path : above) {
    struct stat status{};
    if (::stat(path.c_str(), &status) != 0 || (status.st_mode & S_IXOTH) != 0) continue;
    if (status.st_uid == instance_user.uid || status.st_gid == instance_user.gid) continue;
    // An access control list may say otherwise.
    Command ask{.argv = {"test", "-x", path.string()}, .user = instance_user};
    if (run_command(ask).exit_status == 0) continue;
    throw Error(ErrorCode::not_allowed,
                fmt::format("PostgreSQL runs as {}, which may not pass through {}", instance_user.name, path.string()),
                fmt::format("choose a PGTWIG_ROOT elsewhere, or let others through: chmod o+x {}", path.string()));
  }
}

}  // namespace pgtwig
