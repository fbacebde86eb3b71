// The daemon's life from its first to its last moment. Called by pgtwig.cpp for `pgtwig daemon run`.
#pragma once

#include "cli/cli.h"

namespace pgtwig {

// Serves until SIGTERM, SIGINT or a request to stop; returns the exit status. Throws Error when it can't begin:
// conflict when another daemon has this root.
int run_daemon(const cli::Composition::DaemonOptions& options);

// Throws Error when one of these directories is no pool that a rebuild of the catalog would take up.
void require_pools(const std::vector<std::string>& pool_directories);

}  // namespace pgtwig
