// Which PostgreSQL processes live in a data directory, found by looking at all processes: for what no pid record knows,
// such as the children of a postmaster that was killed. Used by native_runtime.cpp.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <vector>

#include "base/process.h"

namespace pgtwig::runtime {

struct ServerProcess {
  ProcessHandle handle;
  bool is_child;  // of a postmaster, which says so in its title
};

// Every process that runs `postgres` with `data_directory` as its working directory. Empty when that does not exist.
std::vector<ServerProcess> find_servers_in(const std::filesystem::path& data_directory);

// Kills every one of them that is of `user`, whatever it looks like: for a directory whose postmaster was ours. Whether
// none is left; what does not end is left to end_orphans_in().
bool kill_servers_in(const std::filesystem::path& data_directory, uid_t user);

// Waits until no process of `user` serves the data directory. Children whose postmaster is dead end by themselves as
// soon as they notice; those too busy to notice are killed after a moment, as PostgreSQL refuses to start beside them.
// Throws Error conflict when a postmaster lives there, timed_out after `deadline`.
void end_orphans_in(const std::filesystem::path& data_directory, uid_t user,
                    std::chrono::steady_clock::time_point deadline);

// Removes the System V segment that the data directory's lock file names, when that was made by the process named
// beside it, belongs to `user` and nobody is attached: a killed server leaves it, and only a start in the same
// directory would remove it. For a server of this machine that isn't running.
void remove_shared_memory_of(const std::filesystem::path& data_directory, uid_t user);

}  // namespace pgtwig::runtime
