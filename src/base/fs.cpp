// Files and directories by descriptor.
#include "base/fs.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <vector>

#include "base/error.h"
#include "base/ids.h"

namespace pgtwig {

namespace {

// Deeper directories are moved up to the top before they are emptied, so that no tree exhausts descriptors or stack.
constexpr int deepest_removal = 64;

Error path_error(int error_number, std::string_view action, const std::filesystem::path& path) {
  return system_error(error_number, fmt::format("cannot {} {}", action, path.string()));
}

int open_beneath_or_errno(int directory, const char* relative, int flags, mode_t mode, std::uint64_t resolve) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
  how.mode = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE ? mode : 0;
  how.resolve = resolve;
  while (true) {
    const long fd = syscall(SYS_openat2, directory, relative, &how, sizeof how);
    // EAGAIN: a rename somewhere kept the kernel from being sure that the path did not leave the directory.
    if (fd < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    return static_cast<int>(fd);
  }
}

void write_fully(int fd, std::string_view text, const std::filesystem::path& path) {
  while (!text.empty()) {
    const ssize_t written = write(fd, text.data(), text.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      throw path_error(errno, "write", path);
    }
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

// nullopt: procfs says ESRCH of a process that was reaped since its file was found.
std::optional<std::string> read_fully(int fd, std::size_t limit, const std::filesystem::path& path) {
  constexpr std::size_t least = 4096;
  struct stat status{};
  if (fstat(fd, &status) != 0) throw path_error(errno, "examine", path);
  // As long as it says that it is, and a byte more, which is not there; files of /proc say nothing.
  const auto said = static_cast<std::size_t>(std::max<off_t>(status.st_size, 0));
  std::string text(std::max(std::min(said, limit), least) + 1, '\0');
  std::size_t used = 0;
  while (true) {
    if (used == text.size()) text.resize(text.size() * 2);
    const ssize_t got = read(fd, text.data() + used, text.size() - used);
    if (got < 0) {
      if (errno == EINTR) continue;
      if (errno == ESRCH) return std::nullopt;
      throw path_error(errno, "read", path);
    }
    if (got == 0) break;
    used += static_cast<std::size_t>(got);
    if (used > limit) {
      throw Error(ErrorCode::internal, fmt::format("{} is longer than {} bytes", path.string(), limit));
    }
  }
  text.resize(used);
  return text;
}

enum class Durability { synced, not_synced };

void replace_file_at(int directory, const std::string& name, std::string_view text, mode_t mode, Durability durability,
                     const std::filesystem::path& shown, const std::optional<FileOwner>& owner = std::nullopt) {
  const std::string temporary = fmt::format(".{}.{}.tmp", name.substr(0, 100), random_hex_128().substr(0, 12));
  UniqueFd file(openat(directory, temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file) throw path_error(errno, "create", shown);
  try {
    write_fully(file.get(), text, shown);
    if (owner && (owner->uid != geteuid() || owner->gid != getegid()) &&
        fchown(file.get(), owner->uid, owner->gid) != 0) {
      throw path_error(errno, "set the owner of", shown);
    }
    if (fchmod(file.get(), mode) != 0) throw path_error(errno, "set the permissions of", shown);
    if (durability == Durability::synced && fsync(file.get()) != 0) throw path_error(errno, "sync", shown);
    if (renameat(directory, temporary.c_str(), directory, name.c_str()) != 0) throw path_error(errno, "write", shown);
  } catch (...) {
    unlinkat(directory, temporary.c_str(), 0);
    throw;
  }
  if (durability == Durability::synced && fsync(directory) != 0)
    throw path_error(errno, "sync the directory of", shown);
}

std::filesystem::path parent_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

class TreeRemover {
 public:
  explicit TreeRemover(dev_t device) : device_(device) {}

  // Removes what `name` under `directory` is; false when nothing was there.
  bool remove(int directory, const std::string& name, const std::filesystem::path& shown, int depth) {
    if (unlinkat(directory, name.c_str(), 0) == 0) return true;
    if (errno == ENOENT) return false;
    if (errno != EISDIR && errno != EPERM) throw path_error(errno, "remove", shown);
    const int unlink_error = errno;

    UniqueFd child = open_child(directory, name, shown, unlink_error);
    if (!child) return false;
    if (depth == 0) top_ = child.get();
    if (depth >= deepest_removal) {
      const std::string moved = "removing-" + random_hex_128();
      if (renameat(directory, name.c_str(), top_, moved.c_str()) != 0) throw path_error(errno, "move", shown);
      return true;
    }
    // The top is filled again by what is moved there; others only by somebody who is still at work in them.
    do {
      for (const std::string& entry : directory_names(child.get(), shown)) {
        remove(child.get(), entry, shown / entry, depth + 1);
      }
    } while (unlinkat(directory, name.c_str(), AT_REMOVEDIR) != 0 && has_new_entries(shown));
    return true;
  }

 private:
  UniqueFd open_child(int directory, const std::string& name, const std::filesystem::path& shown, int unlink_error) {
    UniqueFd child(open_beneath_or_errno(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0,
                                         RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV));
    if (!child) {
      if (errno == ENOENT) return child;
      if (errno == EXDEV) throw other_file_system(shown);
      // What unlink() called EPERM was no directory, but for example an immutable file.
      throw path_error(errno == ENOTDIR ? unlink_error : errno, "remove", shown);
    }
    struct stat status{};
    if (fstat(child.get(), &status) != 0) throw path_error(errno, "examine", shown);
    // A Btrfs subvolume is no mount point, but has a device number of its own.
    if (status.st_dev != device_) throw other_file_system(shown);
    return child;
  }

  // Whether the directory is only not empty yet, so that another pass is worth while. Throws when it is anything else.
  bool has_new_entries(const std::filesystem::path& shown) {
    if (errno != ENOTEMPTY || ++passes_ >= most_passes) throw path_error(errno, "remove", shown);
    return true;
  }

  static Error other_file_system(const std::filesystem::path& shown) {
    return Error(
        ErrorCode::storage_failed,
        fmt::format("{} is a mount point or a subvolume of its own, which is not removed with the tree around it",
                    shown.string()),
        "unmount it, or delete it with: btrfs subvolume delete " + shown.string());
  }

  // Each pass empties a directory; somebody who keeps filling it must not keep us here for ever.
  static constexpr int most_passes = 100'000;

  dev_t device_;
  int top_ = -1;
  int passes_ = 0;
};

bool remove_tree_shown(int directory, const std::string& name, const std::filesystem::path& shown) {
  struct stat status{};
  if (fstat(directory, &status) != 0) throw path_error(errno, "examine the directory of", shown);
  return TreeRemover(status.st_dev).remove(directory, name, shown, 0);
}

}  // namespace

void UniqueFd::reset(int fd) {
  if (fd_ >= 0) close(fd_);
  fd_ = fd;
}

std::vector<std::string> directory_names(int directory, const std::filesystem::path& shown) {
  // A descriptor of its own, since closedir() closes it.
  UniqueFd own(openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!own) throw path_error(errno, "open", shown);
  std::unique_ptr<DIR, int (*)(DIR*)> stream(fdopendir(own.get()), closedir);
  if (!stream) throw path_error(errno, "list", shown);
  own.release();
  std::vector<std::string> names;
  while (true) {
    errno = 0;
    const dirent* entry = readdir(stream.get());
    if (!entry) {
      if (errno != 0) throw path_error(errno, "list", shown);
      return names;
    }
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
}

UniqueFd open_directory(const std::filesystem::path& path) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) throw path_error(errno, "open the directory", path);
  return fd;
}

UniqueFd open_beneath(int directory, const std::filesystem::path& relative, int flags, mode_t mode) {
  UniqueFd fd(open_beneath_or_errno(directory, relative.c_str(), flags, mode, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS));
  if (!fd) throw path_error(errno, "open", relative);
  return fd;
}

std::string read_file(const std::filesystem::path& path) {
  auto text = read_file_if_exists(path);
  if (!text) throw path_error(ENOENT, "open", path);
  return *std::move(text);
}

std::optional<std::string> read_file_if_exists(const std::filesystem::path& path) {
  UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) {
    if (errno == ENOENT || errno == ESRCH) return std::nullopt;
    throw path_error(errno, "open", path);
  }
  return read_fully(file.get(), std::string().max_size(), path);
}

std::optional<std::string> read_file_beneath(int directory, const std::filesystem::path& relative, std::size_t limit) {
  // O_NONBLOCK: a pipe that somebody put there would keep us waiting for its writer.
  UniqueFd file(open_beneath_or_errno(directory, relative.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY, 0,
                                      RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS));
  if (!file) {
    if (errno == ENOENT) return std::nullopt;
    throw path_error(errno, "open", relative);
  }
  struct stat status{};
  if (fstat(file.get(), &status) != 0) throw path_error(errno, "examine", relative);
  if (!S_ISREG(status.st_mode)) {
    throw Error(ErrorCode::internal, fmt::format("{} is not a plain file", relative.string()));
  }
  return read_fully(file.get(), limit, relative);
}

void write_file_durably(const std::filesystem::path& path, std::string_view text, mode_t mode) {
  const UniqueFd directory = open_directory(parent_of(path));
  replace_file_at(directory.get(), path.filename().string(), text, mode, Durability::synced, path);
}

void write_file_durably_at(int directory, const std::string& name, std::string_view text, mode_t mode) {
  replace_file_at(directory, name, text, mode, Durability::synced, name);
}

void write_file_durably_at(int directory, const std::string& name, std::string_view text, mode_t mode,
                           const FileOwner& owner) {
  replace_file_at(directory, name, text, mode, Durability::synced, name, owner);
}

void write_file(const std::filesystem::path& path, std::string_view text, mode_t mode) {
  const UniqueFd directory = open_directory(parent_of(path));
  replace_file_at(directory.get(), path.filename().string(), text, mode, Durability::not_synced, path);
}

void make_directories(const std::filesystem::path& path, mode_t mode) {
  if (mkdir(path.c_str(), mode) == 0) {
    // Whatever the umask: who asked for 0755 has somebody who must get in.
    if (chmod(path.c_str(), mode) != 0) throw path_error(errno, "set the permissions of", path);
    return;
  }
  if (errno == ENOENT && path.has_parent_path() && path.parent_path() != path) {
    make_directories(path.parent_path(), mode);
    if (path.has_filename()) make_directories(path, mode);
    return;
  }
  const int error_number = errno;
  struct stat status{};
  if (error_number == EEXIST && stat(path.c_str(), &status) == 0) {
    if (S_ISDIR(status.st_mode)) return;
    throw path_error(ENOTDIR, "make the directory", path);
  }
  throw path_error(error_number, "make the directory", path);
}

bool remove_tree_at(int directory, const std::string& name) {
  return remove_tree_shown(directory, name, name);
}

bool remove_tree(const std::filesystem::path& path) {
  UniqueFd parent(open(parent_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!parent) {
    if (errno == ENOENT) return false;
    throw path_error(errno, "open the directory of", path);
  }
  return remove_tree_shown(parent.get(), path.filename().string(), path);
}

FileSystemSpace file_system_space(const std::filesystem::path& path) {
  struct statvfs space{};
  if (statvfs(path.c_str(), &space) != 0) throw path_error(errno, "examine the file system of", path);
  return {.total_bytes = space.f_blocks * space.f_frsize, .free_bytes = space.f_bavail * space.f_frsize};
}

namespace {

// The lock file, locked; empty when somebody else holds it and `flags` say not to wait.
UniqueFd open_locked(const std::filesystem::path& path, int flags) {
  while (true) {
    UniqueFd file(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!file) throw path_error(errno, "open the lock file", path);
    while (flock(file.get(), LOCK_EX | flags) != 0) {
      if (errno == EWOULDBLOCK) return UniqueFd();
      if (errno != EINTR) throw path_error(errno, "lock", path);
    }
    // Somebody may have removed the file meanwhile: a lock on what has no name any more keeps nobody out.
    struct stat held{};
    struct stat named{};
    if (fstat(file.get(), &held) != 0) throw path_error(errno, "examine", path);
    if (stat(path.c_str(), &named) == 0 && held.st_ino == named.st_ino && held.st_dev == named.st_dev) return file;
  }
}

}  // namespace

std::optional<FileLock> FileLock::try_acquire(const std::filesystem::path& path) {
  UniqueFd file = open_locked(path, LOCK_NB);
  if (!file) return std::nullopt;
  return FileLock(std::move(file));
}

FileLock FileLock::acquire(const std::filesystem::path& path) {
  return FileLock(open_locked(path, 0));
}

}  // namespace pgtwig
