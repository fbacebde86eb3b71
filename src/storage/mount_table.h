// What is mounted where, from /proc/self/mountinfo (proc_pid_mountinfo(5)). Called by pool_image.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace pgtwig::storage {

struct Mount {
  std::filesystem::path mount_point;
  std::string type;
  std::string source;  // "/dev/loop3"
};

std::vector<Mount> read_mounts();
// The mount that `path` shows: the last one made there.
std::optional<Mount> mount_at(const std::filesystem::path& path);

}  // namespace pgtwig::storage
