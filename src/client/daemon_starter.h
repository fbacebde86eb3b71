// Starts the daemon when nobody answers on its socket. Used by client.cpp.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/fs.h"
#include "base/paths.h"

namespace pgtwig::client {

struct StartedDaemon {
  UniqueFd connection;
  pid_t pid = 0;  // 0: somebody else started it meanwhile
};

// Runs `executable daemon run` as a process of its own and waits until it answers. Under a lock, so that of two callers
// one starts it and both are connected to it. Throws Error daemon_unavailable with what the daemon said when it ended.
StartedDaemon start_daemon(const Paths& paths, const std::filesystem::path& executable);

// Under the same lock, so that nobody starts another in between: `stop` ends the one that runs, then a new one is
// started with more arguments of `daemon run`, which may make its start a long one.
StartedDaemon replace_daemon(const Paths& paths, const std::filesystem::path& executable,
                             const std::vector<std::string>& arguments, const std::function<void()>& stop);

}  // namespace pgtwig::client
