// See data_directory_servers.h.
#include "runtime/data_directory_servers.h"

#include <dirent.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/ipc.h>
#include <sys/shm.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>

#include "base/fs.h"
#include "runtime/postmaster.h"
#include "runtime/process_facts.h"

namespace pgtwig::runtime {
namespace {

using namespace std::chrono_literals;

// How long a child may take to notice that its postmaster is dead before it is killed. Idle ones need a millisecond.
constexpr auto orphan_grace = 1s;
constexpr auto pause_between_looks = 2ms;

std::vector<pid_t> all_processes() {
  std::vector<pid_t> pids;
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir("/proc"), ::closedir);
  if (!directory) throw system_error(errno, "cannot read /proc");
  while (const dirent* entry = ::readdir(directory.get())) {
    const std::string_view name = entry->d_name;
    pid_t pid = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (error == std::errc{} && end == name.data() + name.size()) pids.push_back(pid);
  }
  return pids;
}

bool is_server_in(pid_t pid, const DirectoryId& data_directory) {
  if (!works_in_directory(pid, data_directory)) return false;
  const auto executable = process_executable(pid);
  return executable && executable->filename() == "postgres";
}

// A postmaster's title is its command line; each of its children sets "postgres: <what it is>".
bool has_title_of_child(pid_t pid) {
  try {
    return read_file_if_exists(fmt::format("/proc/{}/cmdline", pid)).value_or("").starts_with("postgres: ");
  } catch (const Error&) {
    return true;  // it just ended
  }
}

// A postmaster writes its number, as it counts itself, into its lock file before it has any child; a session in
// single-user mode the same with a minus (src/include/utils/pidfile.h). PostgreSQL's user can put anything in its
// place.
std::optional<std::string> lock_file(const std::filesystem::path& data_directory) {
  try {
    return read_file_beneath(open_directory(data_directory).get(), "postmaster.pid", 4096);
  } catch (const Error&) {
    return std::nullopt;
  }
}

bool holds_lock_file(pid_t pid, const std::filesystem::path& data_directory) {
  const auto own = pid_in_own_namespace(pid);
  const auto text = lock_file(data_directory);
  if (!own || !text) return false;
  const std::string_view number = std::string_view(*text).substr(text->starts_with('-') ? 1 : 0);
  return number.substr(0, number.find('\n')) == std::to_string(*own);
}

}  // namespace

std::vector<ServerProcess> find_servers_in(const std::filesystem::path& data_directory) {
  std::vector<ServerProcess> servers;
  const auto id = directory_id(data_directory);
  if (!id && errno != ENOENT && errno != ENOTDIR) {
    throw system_error(errno, fmt::format("cannot look at {}", data_directory.string()));
  }
  if (!id) return servers;
  for (const pid_t pid : all_processes()) {
    if (!is_server_in(pid, *id)) continue;
    auto handle = ProcessHandle::open(pid);
    // Looked at again: the number may have changed hands before it was held.
    if (!handle || !is_server_in(pid, *id)) continue;
    servers.push_back({.handle = std::move(*handle), .is_child = has_title_of_child(pid)});
  }
  return servers;
}

bool kill_servers_in(const std::filesystem::path& data_directory, uid_t user) {
  const auto deadline = std::chrono::steady_clock::now() + kill_patience;
  // Again and again, as one that is killed may have forked another.
  while (std::chrono::steady_clock::now() < deadline) {
    const std::vector<ServerProcess> servers = find_servers_in(data_directory);
    if (servers.empty()) return true;
    for (const ServerProcess& server : servers) {
      if (process_user(server.handle.pid()) == user) server.handle.send_signal(SIGKILL);
    }
    std::this_thread::sleep_for(pause_between_looks);
  }
  return false;
}

void end_orphans_in(const std::filesystem::path& data_directory, uid_t user,
                    std::chrono::steady_clock::time_point deadline) {
  const auto begin = std::chrono::steady_clock::now();
  while (true) {
    const std::vector<ServerProcess> servers = find_servers_in(data_directory);
    if (servers.empty()) return;
    const auto now = std::chrono::steady_clock::now();
    // One that isn't a child by its title need not be a postmaster: a child has its postmaster's title until it sets
    // its own, which takes a busy machine its time.
    const auto untitled = std::ranges::find_if(servers, [](const ServerProcess& one) { return !one.is_child; });
    const auto postmaster = std::ranges::find_if(servers, [&](const ServerProcess& one) {
      return !one.is_child && holds_lock_file(one.handle.pid(), data_directory);
    });
    if (postmaster != servers.end()) {
      throw Error(ErrorCode::conflict,
                  fmt::format("a PostgreSQL server that pgtwig did not start (pid {}) runs in {}",
                              postmaster->handle.pid(), data_directory.string()),
                  fmt::format("stop it first: kill -INT {}", postmaster->handle.pid()));
    }
    if (now > deadline) {
      throw Error(ErrorCode::timed_out, fmt::format("{} processes of a PostgreSQL that ended still run in {}",
                                                    servers.size(), data_directory.string()));
    }
    if (untitled == servers.end() && now - begin > orphan_grace) {
      for (const ServerProcess& orphan : servers) {
        if (process_user(orphan.handle.pid()) == user) orphan.handle.send_signal(SIGKILL);
      }
    }
    std::this_thread::sleep_for(pause_between_looks);
  }
}

void remove_shared_memory_of(const std::filesystem::path& data_directory, uid_t user) {
  // src/include/utils/pidfile.h: the first line is the pid, the second the data directory (a fork has its source's file
  // until it is cleaned), the seventh the segment's key and id.
  std::istringstream lines(lock_file(data_directory).value_or(""));
  long pid = 0;
  unsigned long key = 0;
  int id = -1;
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    std::istringstream words(line);
    if (number == 1) words >> pid;
    if (number == 2 && line != data_directory.string()) return;
    if (number == 7 && !(words >> key >> id)) return;
  }
  const auto deadline = std::chrono::steady_clock::now() + orphan_grace;
  struct shmid_ds segment{};
  while (id >= 0 && ::shmctl(id, IPC_STAT, &segment) == 0) {
    const bool is_its_own = static_cast<unsigned long>(segment.shm_perm.__key) == key &&
                            segment.shm_cpid == std::abs(pid) && segment.shm_perm.uid == user;
    if (!is_its_own || std::chrono::steady_clock::now() > deadline) return;
    if (segment.shm_nattch == 0) ::shmctl(id, IPC_RMID, nullptr);
    // A process that is about to be gone is attached a moment longer than it works in the directory.
    std::this_thread::sleep_for(pause_between_looks);
  }
}

}  // namespace pgtwig::runtime
