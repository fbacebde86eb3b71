// Opening, recognising and listing a pool's directory.
#include "storage/pool_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <cerrno>

#include "storage/storage_error.h"

namespace pgtwig::storage {

namespace {

// What pgtwig keeps in a pool beside its volumes.
constexpr std::string_view own_prefix = ".pgtwig-";

unsigned char type_of_mode(mode_t mode) {
  return static_cast<unsigned char>(IFTODT(mode));
}

Error pool_away(const std::filesystem::path& path, std::string_view why) {
  return Error(
      ErrorCode::storage_failed, fmt::format("pool directory {} is away: {}", path.string(), why),
      "mount its file system again, or import its zpool (a restart of the daemon does so with image pools); nothing in "
      "it is lost");
}

}  // namespace

std::string directory_identity(int directory) {
  struct statx status{};
  if (statx(directory, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &status) != 0)
    throw storage_error(errno, "cannot look at a directory");
  // The kernel fills an int although the request's number says long; file systems without generations refuse.
  long generation = 0;
  if (ioctl(directory, FS_IOC_GETVERSION, &generation) != 0) generation = 0;
  bool has_birth = (status.stx_mask & STATX_BTIME) != 0;
  return fmt::format("{}:{}:{}.{:09}", status.stx_ino, static_cast<unsigned>(generation),
                     has_birth ? status.stx_btime.tv_sec : 0, has_birth ? status.stx_btime.tv_nsec : 0);
}

PoolDirectory::PoolDirectory(std::filesystem::path path) : path_(std::move(path)) {
  UniqueFd directory(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) {
    int error = errno;
    if (error == ENOENT || error == ENOTDIR)
      throw Error(ErrorCode::not_found, fmt::format("there is no directory {} for the pool", path_.string()),
                  "create it, or mount the file system that holds it");
    throw storage_error(error, fmt::format("cannot open pool directory {}", path_.string()));
  }
  identity_ = directory_identity(directory.get());
}

UniqueFd PoolDirectory::open() const {
  UniqueFd directory(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) {
    int error = errno;
    if (error == ENOENT || error == ENOTDIR) throw pool_away(path_, "it does not exist");
    throw storage_error(error, fmt::format("cannot open pool directory {}", path_.string()));
  }
  if (directory_identity(directory.get()) != identity_)
    throw pool_away(path_, "another directory lies in its place, so its file system is not mounted");
  return directory;
}

UniqueFd PoolDirectory::open_volume(const VolumeId& volume) const {
  UniqueFd pool = open();
  UniqueFd directory(openat(pool.get(), volume.text().c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory) {
    int error = errno;
    if (error == ENOENT)
      throw Error(ErrorCode::not_found, fmt::format("there is no volume {} in pool {}", volume.text(), path_.string()));
    throw storage_error(error, fmt::format("cannot open volume {}", volume.text()));
  }
  return directory;
}

std::vector<VolumeEntry> PoolDirectory::list(
    const std::function<bool(int pool, const std::string& name)>& is_volume) const {
  UniqueFd pool = open();
  std::vector<VolumeEntry> entries;
  for (DirectoryEntry& entry : read_directory(pool.get())) {
    if (entry.type != DT_DIR || entry.name == "lost+found" || entry.name.starts_with(own_prefix)) continue;
    auto id = VolumeId::parse(entry.name);
    if (id && !is_volume(pool.get(), entry.name)) id.reset();
    entries.push_back({std::move(entry.name), std::move(id)});
  }
  return entries;
}

PoolSpace PoolDirectory::space() const {
  open();
  FileSystemSpace space = file_system_space(path_);
  return {Bytes{space.total_bytes}, Bytes{space.free_bytes}};
}

Lease PoolDirectory::lease(const VolumeId& volume) const {
  open_volume(volume);
  return {path_ / volume.text(), 1};
}

std::vector<DirectoryEntry> read_directory(int directory) {
  UniqueFd own(openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!own) throw storage_error(errno, "cannot open a directory");
  DIR* stream = fdopendir(own.get());
  if (stream == nullptr) throw storage_error(errno, "cannot read a directory");
  own.release();  // now the stream's
  std::unique_ptr<DIR, int (*)(DIR*)> closer(stream, closedir);

  std::vector<DirectoryEntry> entries;
  for (;;) {
    errno = 0;
    const dirent* entry = readdir(stream);
    if (entry == nullptr) {
      if (errno != 0) throw storage_error(errno, "cannot read a directory");
      return entries;
    }
    std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    unsigned char type = entry->d_type;
    if (type == DT_UNKNOWN) {
      struct stat status{};
      if (fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno == ENOENT) continue;
        throw storage_error(errno, fmt::format("cannot look at {}", name));
      }
      type = type_of_mode(status.st_mode);
    }
    entries.push_back({std::move(name), type});
  }
}

}  // namespace pgtwig::storage
