// The command line: parse, ask the client, print. Returns the exit status of the process.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace pgtwig::cli {

// What main/ lends: the command line itself links no server.
struct Composition {
  // Runs the daemon in the foreground until it is told to stop; returns its exit status.
  struct DaemonOptions {
    bool rebuild_state = false;
    std::vector<std::string> pool_directories;  // with rebuild_state: more places to look for volumes
  };
  std::function<int(const DaemonOptions&)> run_daemon;
  // Throws Error when one of these directories is no pool that a rebuild of the catalog would take up.
  std::function<void(const std::vector<std::string>& pool_directories)> require_pools;
};

int run(int argc, char** argv, const Composition& composition);

}  // namespace pgtwig::cli
