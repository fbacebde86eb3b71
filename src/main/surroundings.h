// What the daemon needs of the machine before it serves: directories, users, the log. Called by daemon.cpp.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>

#include "base/config.h"
#include "base/fs.h"
#include "base/paths.h"
#include "base/process.h"

namespace pgtwig {

// Throws Error not_allowed when somebody else could change what this daemon trusts.
void refuse_foreign_directories(const Paths& paths);

// What one daemon holds for its life, and no other of the same run or the same state directory with it.
struct DaemonLock {
  FileLock run;
  FileLock state;
};
// Writes the daemon's pid beside it. Waits for a predecessor that is ending.
// Throws Error conflict when another daemon lives, busy when it neither answers nor ends.
DaemonLock take_daemon_lock(const Paths& paths);

// To stderr when somebody looks at it (a terminal, a service manager's journal), else to the log file.
void set_up_log(const Paths& paths, const Config& config);

// Who PostgreSQL runs as: the daemon's own user, and for root the system user pgtwig-pg, made when it is not there.
OsUser find_instance_user(const OsUser& daemon_user);

// Who may connect besides root: the group pgtwig, where there is one and the daemon is root's.
std::optional<gid_t> find_socket_group(bool is_root);

// Descriptors for thousands of instances; no PG* variables, which would lead our own connections astray.
void prepare_process();

// Brings the program that PostgreSQL's user runs (archive_command, restore_command) up to date, in a place where that
// user can reach it. Returns its path.
std::filesystem::path install_helper(const Paths& paths);

// PostgreSQL must be able to pass through every directory above what is its. Throws Error
// not_allowed where it can't.
void refuse_closed_directories(const Paths& paths, const OsUser& instance_user);

}  // namespace pgtwig
