// A directory of a test's own, gone with it.
#pragma once

#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/error.h"
#include "base/fs.h"

namespace pgtwig::support {

enum class TemporaryPlace { memory, disk };

// A cluster is a thousand small files, and each test makes and removes its own: some file systems take longer over that
// than the test over all else.
inline std::filesystem::path temporary_place(TemporaryPlace place) {
  constexpr std::uint64_t enough = std::uint64_t{4} << 30;
  const char* memory = "/dev/shm";
  struct statvfs found{};
  const bool is_usable = ::statvfs(memory, &found) == 0 && (found.f_flag & ST_NOEXEC) == 0 &&
                         found.f_bavail * found.f_frsize >= enough && ::access(memory, W_OK) == 0;
  return place == TemporaryPlace::memory && is_usable ? memory : "/tmp";
}

class TemporaryDirectory {
 public:
  // Others may enter it, as the servers that tests start run as another user.
  explicit TemporaryDirectory(TemporaryPlace place = TemporaryPlace::memory) {
    std::string name = temporary_place(place) / "pgtwig-test-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) throw system_error(errno, "cannot make a temporary directory");
    path_ = name;
    ::chmod(name.c_str(), 0755);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() {
    try {
      remove_tree(path_);
    } catch (const Error&) {
      // A test that leaves something unremovable has failed already or is found by the leak check.
    }
  }
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

}  // namespace pgtwig::support
