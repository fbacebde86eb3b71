// What /proc says of a process. Used by native_runtime.cpp and data_directory_servers.cpp.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>

namespace pgtwig::runtime {

// Of a process that ended, or of another user: nullopt.
std::optional<std::filesystem::path> process_executable(pid_t pid);  // without the mark of a replaced file
std::optional<uid_t> process_user(pid_t pid);                        // effective

// A directory by device and inode, whatever path leads to it.
struct DirectoryId {
  dev_t device;
  ino_t inode;
};
std::optional<DirectoryId> directory_id(const std::filesystem::path& directory);  // nullopt: errno says why

// Whether it is the working directory of the process.
bool works_in_directory(pid_t pid, const DirectoryId& directory);
bool works_in_directory(pid_t pid, const std::filesystem::path& directory);

// The paths of its control groups, one a line; empty for a process that ended.
std::string control_groups(pid_t pid);

}  // namespace pgtwig::runtime
