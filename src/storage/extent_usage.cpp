// FIEMAP over a tree.
#include "storage/extent_usage.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <set>
#include <vector>

#include "base/fs.h"
#include "storage/pool_directory.h"
#include "storage/storage_error.h"

namespace pgtwig::storage {

namespace {

constexpr unsigned extents_per_call = 256;

class UsageWalk {
 public:
  explicit UsageWalk(int volume) : volume_(volume) {}

  VolumeUsage run() {
    directories_.push_back(".");
    while (!directories_.empty()) {
      std::string path = std::move(directories_.back());
      directories_.pop_back();
      add_directory(path);
    }
    // Extents can be longer than what the file's blocks still use of them.
    unique_ = std::min(unique_, logical_);
    return {Bytes{logical_}, Bytes{unique_}, Bytes{logical_ - unique_}};
  }

 private:
  void add_directory(const std::string& path) {
    // Opened by path and not kept open: a tree may be deeper than a process may have descriptors.
    UniqueFd directory;
    try {
      directory = open_beneath(volume_, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    } catch (const Error&) {
      if (faccessat(volume_, path.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT) return;
      throw;
    }
    for (const DirectoryEntry& entry : read_directory(directory.get())) {
      if (entry.type == DT_DIR) directories_.push_back(path + "/" + entry.name);
      if (entry.type == DT_REG) add_file(directory.get(), entry.name);
    }
  }

  void add_file(int directory, const std::string& name) {
    UniqueFd file(openat(directory, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!file) {
      if (errno == ENOENT || errno == ELOOP) return;
      throw storage_error(errno, fmt::format("cannot open {}", name));
    }
    struct stat status{};
    if (fstat(file.get(), &status) != 0) throw storage_error(errno, fmt::format("cannot look at {}", name));
    if (status.st_nlink > 1 && !seen_.insert(status.st_ino).second) return;
    auto allocated = static_cast<std::uint64_t>(status.st_blocks) * 512;
    logical_ += allocated;
    if (allocated != 0) unique_ += unique_bytes(file.get(), allocated);
  }

  std::uint64_t unique_bytes(int file, std::uint64_t allocated) {
    std::vector<std::uint64_t> buffer((sizeof(fiemap) + extents_per_call * sizeof(fiemap_extent)) / 8 + 1);
    auto* map = reinterpret_cast<fiemap*>(buffer.data());
    std::uint64_t unique = 0;
    std::uint64_t start = 0;
    for (;;) {
      std::memset(map, 0, sizeof(*map));
      map->fm_start = start;
      map->fm_length = FIEMAP_MAX_OFFSET - start;
      map->fm_extent_count = extents_per_call;
      if (ioctl(file, FS_IOC_FIEMAP, map) != 0) {
        if (errno == EOPNOTSUPP || errno == ENOTTY) return allocated;
        throw storage_error(errno, "cannot read a file's extents");
      }
      if (map->fm_mapped_extents == 0) return unique;
      for (unsigned i = 0; i < map->fm_mapped_extents; ++i) {
        const fiemap_extent& extent = map->fm_extents[i];
        if ((extent.fe_flags & FIEMAP_EXTENT_SHARED) == 0) unique += extent.fe_length;
        if ((extent.fe_flags & FIEMAP_EXTENT_LAST) != 0) return unique;
        start = extent.fe_logical + extent.fe_length;
      }
    }
  }

  int volume_;
  std::vector<std::string> directories_;
  std::set<ino_t> seen_;
  std::uint64_t logical_ = 0;
  std::uint64_t unique_ = 0;
};

}  // namespace

VolumeUsage extent_usage(int volume) {
  return UsageWalk(volume).run();
}

}  // namespace pgtwig::storage
