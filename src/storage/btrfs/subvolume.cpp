// Subvolume operations for root and for ordinary users, who may create and empty subvolumes but not destroy full ones.
#include "storage/btrfs/subvolume.h"

#include <btrfsutil.h>
#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/btrfs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <cerrno>

#include "base/fs.h"
#include "storage/pool_directory.h"
#include "storage/storage_error.h"

namespace pgtwig::storage::btrfs {

namespace {

constexpr ino_t subvolume_root_inode = 256;  // BTRFS_FIRST_FREE_OBJECTID: of the root directory of every subvolume

// libbtrfsutil leaves the errno of the system call that failed, but for its own findings.
Error btrfs_error(btrfs_util_error error, int error_number, std::string_view action) {
  if (error == BTRFS_UTIL_ERROR_NO_MEMORY) error_number = ENOMEM;
  if (error_number != 0) return storage_error(error_number, action);
  return Error(ErrorCode::storage_failed, fmt::format("{}: {}", action, btrfs_util_strerror(error)));
}

void clear_read_only(int subvolume) {
  bool read_only = false;
  errno = 0;
  btrfs_util_error error = btrfs_util_get_subvolume_read_only_fd(subvolume, &read_only);
  if (error == BTRFS_UTIL_OK && read_only) error = btrfs_util_set_subvolume_read_only_fd(subvolume, false);
  if (error != BTRFS_UTIL_OK) throw btrfs_error(error, errno, "cannot make a subvolume writable");
}

// What an ordinary user may do where destroying needs CAP_SYS_ADMIN or the mount option user_subvol_rm_allowed: remove
// all that is in it, then the empty subvolume like a directory (Linux 4.18).
void empty_and_remove(int directory, const std::string& name) {
  UniqueFd subvolume(openat(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!subvolume) {
    if (errno == ENOENT) return;
    throw storage_error(errno, fmt::format("cannot open subvolume {}", name));
  }
  for (const DirectoryEntry& entry : read_directory(subvolume.get())) remove_tree_at(subvolume.get(), entry.name);
  if (unlinkat(directory, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT)
    throw storage_error(errno, fmt::format("cannot remove subvolume {}", name));
}

// One subvolume without others in it.
void remove_single(int directory, const std::string& name) {
  errno = 0;
  btrfs_util_error error = btrfs_util_delete_subvolume_fd(directory, name.c_str(), 0);
  int error_number = errno;
  if (error == BTRFS_UTIL_OK || error_number == ENOENT) return;
  if (error_number == EPERM || error_number == EACCES) return empty_and_remove(directory, name);
  throw btrfs_error(error, error_number, fmt::format("cannot destroy subvolume {}", name));
}

// As deep as a path can be; each level holds a descriptor.
constexpr int deepest_directory = 1000;

UniqueFd open_child(int directory, const std::string& name) {
  return open_beneath(directory, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

// Removes the subvolumes in a directory, innermost first. By handles: somebody at work in it can change any path. And
// by looking, not with libbtrfsutil's iterator: for ordinary users that of 1.2 closes the descriptor it was given.
void remove_nested(int directory, int depth) {
  if (depth >= deepest_directory) {
    throw Error(ErrorCode::storage_failed, "a volume holds directories nested too deeply to look for subvolumes in");
  }
  for (const DirectoryEntry& entry : read_directory(directory)) {
    if (entry.type != DT_DIR) continue;
    const bool is_subvolume = is_subvolume_at(directory, entry.name);
    {
      UniqueFd child = open_child(directory, entry.name);
      if (is_subvolume) clear_read_only(child.get());
      remove_nested(child.get(), depth + 1);
    }
    if (is_subvolume) remove_single(directory, entry.name);
  }
}

}  // namespace

bool is_subvolume_at(int directory, const std::string& name) {
  struct stat status{};
  return fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(status.st_mode) &&
         status.st_ino == subvolume_root_inode;
}

void create_subvolume_at(int directory, const std::string& name) {
  errno = 0;
  btrfs_util_error error = btrfs_util_create_subvolume_fd(directory, name.c_str(), 0, nullptr, nullptr);
  if (error == BTRFS_UTIL_OK) return;
  if (errno == EEXIST) throw Error(ErrorCode::already_exists, fmt::format("volume {} exists already", name));
  throw btrfs_error(error, errno, fmt::format("cannot create subvolume {}", name));
}

void snapshot_subvolume_at(int source, int directory, const std::string& name) {
  errno = 0;
  btrfs_util_error error = btrfs_util_create_snapshot_fd2(source, directory, name.c_str(), 0, nullptr, nullptr);
  if (error == BTRFS_UTIL_OK) return;
  if (errno == EEXIST) throw Error(ErrorCode::already_exists, fmt::format("volume {} exists already", name));
  throw btrfs_error(error, errno, fmt::format("cannot snapshot into subvolume {}", name));
}

void remove_subvolume_at(int directory, const std::string& name) {
  errno = 0;
  // Almost always it holds no others and this one call, which returns before the blocks are freed, is all.
  btrfs_util_error error = btrfs_util_delete_subvolume_fd(directory, name.c_str(), 0);
  int error_number = errno;
  if (error == BTRFS_UTIL_OK || error_number == ENOENT) return;
  if (!is_subvolume_at(directory, name)) {
    if (faccessat(directory, name.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT) return;
    throw Error(ErrorCode::storage_failed, fmt::format("{} is not a subvolume, so it is not pgtwig's to remove", name));
  }
  if (error_number != ENOTEMPTY && error_number != EPERM && error_number != EACCES)
    throw btrfs_error(error, error_number, fmt::format("cannot destroy subvolume {}", name));

  UniqueFd subvolume(openat(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!subvolume) {
    if (errno == ENOENT) return;
    throw storage_error(errno, fmt::format("cannot open subvolume {}", name));
  }
  clear_read_only(subvolume.get());
  remove_nested(subvolume.get(), 0);
  subvolume.reset();
  remove_single(directory, name);
}

bool has_nested_subvolumes(int subvolume) {
  btrfs_ioctl_get_subvol_rootref_args children{};
  // EOVERFLOW: there are more than it has room for.
  if (ioctl(subvolume, BTRFS_IOC_GET_SUBVOL_ROOTREF, &children) != 0 && errno != EOVERFLOW)
    throw storage_error(errno, "cannot look for nested subvolumes");
  return children.num_items != 0;
}

std::string subvolume_uuid(int subvolume) {
  struct btrfs_util_subvolume_info info{};
  errno = 0;
  btrfs_util_error error = btrfs_util_subvolume_info_fd(subvolume, 0, &info);
  if (error != BTRFS_UTIL_OK) throw btrfs_error(error, errno, "cannot read a subvolume's identity");
  std::string text;
  for (std::uint8_t byte : info.uuid) text += fmt::format("{:02x}", byte);
  return text;
}

}  // namespace pgtwig::storage::btrfs
