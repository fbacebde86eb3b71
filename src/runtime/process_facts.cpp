// See process_facts.h.
#include "runtime/process_facts.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <charconv>
#include <string>
#include <string_view>
#include <system_error>

#include "base/fs.h"

namespace pgtwig::runtime {
namespace {

std::string read_process_file(pid_t pid, std::string_view name) {
  return read_file_if_exists(fmt::format("/proc/{}/{}", pid, name)).value_or("");
}

}  // namespace

std::optional<std::filesystem::path> process_executable(pid_t pid) {
  std::error_code error;
  std::string target = std::filesystem::read_symlink(fmt::format("/proc/{}/exe", pid), error).string();
  if (error) return std::nullopt;
  // An upgrade of the package replaces the file under a running server.
  constexpr std::string_view replaced = " (deleted)";
  if (target.ends_with(replaced)) target.resize(target.size() - replaced.size());
  return target;
}

std::optional<uid_t> process_user(pid_t pid) {
  const std::string status = read_process_file(pid, "status");
  constexpr std::string_view key = "\nUid:\t";  // real, effective, saved, file system
  const auto start = status.find(key);
  if (start == std::string::npos) return std::nullopt;
  const auto effective = status.find('\t', start + key.size());
  if (effective == std::string::npos) return std::nullopt;
  uid_t uid = 0;
  const auto [end, error] = std::from_chars(status.data() + effective + 1, status.data() + status.size(), uid);
  if (error != std::errc{}) return std::nullopt;
  return uid;
}

std::string control_groups(pid_t pid) {
  return read_process_file(pid, "cgroup");
}

std::optional<DirectoryId> directory_id(const std::filesystem::path& directory) {
  struct stat status{};
  if (::stat(directory.c_str(), &status) != 0) return std::nullopt;
  return DirectoryId{.device = status.st_dev, .inode = status.st_ino};
}

bool works_in_directory(pid_t pid, const DirectoryId& directory) {
  const auto actual = directory_id(fmt::format("/proc/{}/cwd", pid));
  return actual && actual->device == directory.device && actual->inode == directory.inode;
}

bool works_in_directory(pid_t pid, const std::filesystem::path& directory) {
  const auto id = directory_id(directory);
  return id && works_in_directory(pid, *id);
}

}  // namespace pgtwig::runtime
