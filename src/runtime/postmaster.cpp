// See postmaster.h.
#include "runtime/postmaster.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "runtime/data_directory_servers.h"

namespace pgtwig::runtime {
namespace {

using namespace std::chrono_literals;

// How long a start waits for what a killed postmaster of the same directory left running.
constexpr auto orphan_timeout = 10s;
// How long a server may take over an immediate stop, in which it has nothing to write, before it is killed.
constexpr auto immediate_stop_patience = 10s;

std::chrono::milliseconds time_left(SteadyTime deadline) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  return std::max(left, 0ms);
}

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

}  // namespace

std::vector<std::string> server_arguments(const InstanceSpec& spec) {
  std::vector<std::string> arguments{"-D", spec.data_directory.string()};
  for (const auto& [name, value] : spec.settings) {
    arguments.emplace_back("-c");
    arguments.push_back(name + "=" + value);
  }
  return arguments;
}

void clear_way_for_start(const InstanceSpec& spec) {
  std::error_code ignored;
  const bool ended_uncleanly = std::filesystem::exists(spec.data_directory / "postmaster.pid", ignored) ||
                               std::filesystem::exists(spec.directory / "pid", ignored);
  if (!ended_uncleanly) return;
  end_orphans_in(spec.data_directory, spec.user.uid, std::chrono::steady_clock::now() + orphan_timeout);
  remove_stale_lock_files(spec);
}

void end_postmaster(const ProcessHandle& postmaster, StopMode mode, SteadyTime deadline) {
  const auto begin = std::chrono::steady_clock::now();
  const bool ended = mode == StopMode::fast ? end_by_request(postmaster, deadline) : end_at_once(postmaster, deadline);
  if (ended) return;
  const auto waited = std::chrono::steady_clock::now() - begin;
  throw Error(ErrorCode::timed_out,
              fmt::format("PostgreSQL (process {}) is still stopping after {} s", postmaster.pid(),
                          std::chrono::round<std::chrono::seconds>(waited).count()));
}

}  // namespace pgtwig::runtime
