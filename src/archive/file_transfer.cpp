// Reflinks, copies and listings.
#include "archive/file_transfer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/error.h"

namespace pgtwig::archive {

namespace {

constexpr std::size_t copy_chunk = std::size_t{64} << 10;

struct stat status_of(int fd) {
  struct stat status{};
  if (fstat(fd, &status) != 0) throw system_error(errno, "cannot look at a WAL file");
  return status;
}

// False where this file system, or this pair of files, has no shared blocks, or not now: ZFS says EAGAIN of blocks that
// are not on disk yet.
bool share_blocks(int source, int target) {
  if (ioctl(target, FICLONE, source) == 0) return true;
  if (errno == EOPNOTSUPP || errno == ENOTTY || errno == EXDEV || errno == EINVAL || errno == ENOSYS || errno == EAGAIN)
    return false;
  throw system_error(errno, "cannot share the blocks of a WAL file");
}

void write_all(int fd, const char* bytes, std::size_t size) {
  while (size > 0) {
    const ssize_t written = write(fd, bytes, size);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw system_error(errno, "cannot write a WAL file");
    bytes += written;
    size -= static_cast<std::size_t>(written);
  }
}

void copy_bytes(int source, int target) {
  std::vector<char> chunk(copy_chunk);
  for (off_t offset = 0;;) {
    const ssize_t got = pread(source, chunk.data(), chunk.size(), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw system_error(errno, "cannot read a WAL file");
    if (got == 0) return;
    write_all(target, chunk.data(), static_cast<std::size_t>(got));
    offset += got;
  }
}

}  // namespace

void share_or_copy(int source, int target) {
  const struct stat before = status_of(source);
  if (!share_blocks(source, target)) copy_bytes(source, target);
  if (status_of(target).st_size != before.st_size) {
    throw Error(ErrorCode::internal, "a WAL file changed its size while it was copied");
  }
  const std::array<timespec, 2> times{timespec{0, UTIME_OMIT}, before.st_mtim};
  if (futimens(target, times.data()) != 0) throw system_error(errno, "cannot set the time of a WAL file");
}

UniqueFd open_regular_file_at(int directory, const std::string& name) {
  UniqueFd file(openat(directory, name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!file) {
    if (errno == ENOENT) return file;
    if (errno == ELOOP) throw Error(ErrorCode::not_allowed, fmt::format("{} is a link, not a file", name));
    throw system_error(errno, fmt::format("cannot open {}", name));
  }
  if (!S_ISREG(status_of(file.get()).st_mode)) {
    throw Error(ErrorCode::not_allowed, fmt::format("{} is no regular file", name));
  }
  return file;
}

TimePoint last_write(const struct stat& status) {
  const auto since_epoch =
      std::chrono::seconds(status.st_mtim.tv_sec) + std::chrono::nanoseconds(status.st_mtim.tv_nsec);
  return TimePoint(std::chrono::floor<std::chrono::microseconds>(since_epoch));
}

std::vector<ArchivedFile> list_wal_files(int directory) {
  std::vector<ArchivedFile> files;
  for (const std::string& name : directory_names(directory, "the WAL archive")) {
    struct stat status{};
    if (!wal_file_kind(name)) continue;
    // Gone meanwhile, or put there by somebody: no file of the archive.
    if (fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(status.st_mode)) continue;
    files.push_back({name, Bytes{static_cast<std::uint64_t>(status.st_size)}, last_write(status)});
  }
  std::ranges::sort(files, {}, &ArchivedFile::name);
  return files;
}

}  // namespace pgtwig::archive
