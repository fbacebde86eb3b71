// Starts the daemon when nobody answers on its socket. Used by client.cpp.
#pragma once

#include <chrono>
#include <filesystem>

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

}  // namespace pgtwig::client
