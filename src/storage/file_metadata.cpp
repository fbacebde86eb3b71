// Copying what a file is besides its content. A look is cheap; a change is a transaction of the file system, so that
// what is right already is left alone.
#include "storage/file_metadata.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <vector>

#include "storage/storage_error.h"

namespace pgtwig::storage {

namespace {

constexpr mode_t permission_bits = 07777;

// An ordinary user can give nothing away: what it copies is its own, as with cp.
bool may_keep_own_owner(int error) {
  return error == EPERM && geteuid() != 0;
}

std::vector<char> read_attribute(int file, const char* name) {
  for (;;) {
    ssize_t size = fgetxattr(file, name, nullptr, 0);
    if (size < 0) throw storage_error(errno, fmt::format("cannot read extended attribute {}", name));
    std::vector<char> value(static_cast<std::size_t>(size));
    ssize_t read = fgetxattr(file, name, value.data(), value.size());
    if (read < 0 && errno == ERANGE) continue;  // it grew in between
    if (read < 0) throw storage_error(errno, fmt::format("cannot read extended attribute {}", name));
    value.resize(static_cast<std::size_t>(read));
    return value;
  }
}

void copy_attribute(int source, int target, const std::string& name) {
  std::vector<char> value = read_attribute(source, name.c_str());
  if (fsetxattr(target, name.c_str(), value.data(), value.size(), 0) == 0) return;
  // Labels and capabilities belong to the administrator.
  if ((errno == EPERM || errno == EACCES || errno == EOPNOTSUPP) && !name.starts_with("user.")) return;
  throw storage_error(errno, fmt::format("cannot set extended attribute {}", name));
}

void copy_attributes(int source, int target) {
  std::array<char, 1024> small;  // NOLINT: filled by the kernel
  ssize_t length = flistxattr(source, small.data(), small.size());
  if (length == 0 || (length < 0 && errno == EOPNOTSUPP)) return;
  std::vector<char> names;
  if (length > 0) {
    names.assign(small.data(), small.data() + length);
  } else {
    if (errno != ERANGE) throw storage_error(errno, "cannot list extended attributes");
    names.resize(XATTR_LIST_MAX);
    length = flistxattr(source, names.data(), names.size());
    if (length < 0) throw storage_error(errno, "cannot list extended attributes");
    names.resize(static_cast<std::size_t>(length));
  }
  for (std::size_t at = 0; at < names.size();) {
    std::string name(names.data() + at);
    at += name.size() + 1;
    copy_attribute(source, target, name);
  }
}

}  // namespace

void copy_metadata(int source, int target, const struct stat& source_status) {
  struct stat now{};
  if (fstat(target, &now) != 0) throw storage_error(errno, "cannot look at what was copied");
  if (now.st_uid != source_status.st_uid || now.st_gid != source_status.st_gid) {
    if (fchown(target, source_status.st_uid, source_status.st_gid) != 0 && !may_keep_own_owner(errno))
      throw storage_error(errno, "cannot set the owner");
    now.st_mode &= ~static_cast<mode_t>(S_ISUID | S_ISGID);  // which a change of owner clears
  }
  if ((now.st_mode & permission_bits) != (source_status.st_mode & permission_bits) &&
      fchmod(target, source_status.st_mode & permission_bits) != 0)
    throw storage_error(errno, "cannot set the mode");
  copy_attributes(source, target);
  std::array<timespec, 2> times{timespec{0, UTIME_OMIT}, source_status.st_mtim};
  if (futimens(target, times.data()) != 0) throw storage_error(errno, "cannot set the modification time");
}

void copy_link_metadata(int directory, const std::string& name, const struct stat& source_status) {
  if (fchownat(directory, name.c_str(), source_status.st_uid, source_status.st_gid, AT_SYMLINK_NOFOLLOW) != 0 &&
      !may_keep_own_owner(errno))
    throw storage_error(errno, fmt::format("cannot set the owner of link {}", name));
  std::array<timespec, 2> times{timespec{0, UTIME_OMIT}, source_status.st_mtim};
  if (utimensat(directory, name.c_str(), times.data(), AT_SYMLINK_NOFOLLOW) != 0)
    throw storage_error(errno, fmt::format("cannot set the time of link {}", name));
}

}  // namespace pgtwig::storage
