// Stopping the daemon, for those commands that have to.
#pragma once

#include <sys/types.h>

#include <optional>

#include "cli/session.h"

namespace pgtwig::cli {

// Returns when the process has ended, with its pid; nullopt when none was running. Throws Error timed_out.
std::optional<pid_t> stop_daemon(Session& session, bool stop_all);

}  // namespace pgtwig::cli
