// FICLONE and the copying of bytes.
#include "storage/file_content.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/fs.h"
#include "base/ids.h"
#include "storage/storage_error.h"

namespace pgtwig::storage {

namespace {

constexpr std::size_t copy_chunk = std::size_t{1} << 20;

// Copies [from, to) and says how far it came: less than `to` when the source ends earlier.
off_t copy_range(int source, int target, off_t from, off_t to) {
  while (from < to) {
    off_t source_offset = from;
    off_t target_offset = from;
    std::size_t wanted = std::min<std::size_t>(copy_chunk, static_cast<std::size_t>(to - from));
    ssize_t copied = copy_file_range(source, &source_offset, target, &target_offset, wanted, 0);
    if (copied < 0) {
      if (errno == EINTR) continue;
      throw storage_error(errno, "cannot copy");
    }
    if (copied == 0) return from;
    from += copied;
  }
  return from;
}

// After the source ended earlier than its length said: the target ends there too.
void cut_to_source(int source, int target, off_t end) {
  struct stat now{};
  if (fstat(source, &now) != 0) throw storage_error(errno, "cannot look at a file");
  if (now.st_size < end && ftruncate(target, now.st_size) != 0)
    throw storage_error(errno, "cannot set a file's length");
}

// A file in `directory` that nobody else sees: nameless where that is possible, else unlinked at once.
UniqueFd make_scratch_file(int directory) {
  UniqueFd file(openat(directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (file) return file;
  if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT)
    throw storage_error(errno, "cannot try a file in the pool");
  std::string name = ".pgtwig-probe-" + random_hex_128();
  file.reset(openat(directory, name.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600));
  if (!file) throw storage_error(errno, "cannot try a file in the pool");
  unlinkat(directory, name.c_str(), 0);
  return file;
}

}  // namespace

void clone_content(int source, int target, const struct stat& source_status) {
  if (source_status.st_size == 0) return;
  if (ioctl(target, FICLONE, source) == 0) return;
  int error = errno;
  Error failure = storage_error(error, "cannot share blocks (FICLONE)");
  if (error == EOPNOTSUPP || error == ENOTTY || error == EXDEV || error == EINVAL)
    failure.set_hint("the pool's file system does not share the blocks of this file; use a pool of the copy driver");
  throw failure;
}

void copy_content(int source, int target, const struct stat& source_status) {
  off_t end = source_status.st_size;
  if (end == 0) return;
  // Made at its full length first, so that all that is not written is a hole.
  if (ftruncate(target, end) != 0) throw storage_error(errno, "cannot set a file's length");
  off_t position = 0;
  while (position < end) {
    off_t data = lseek(source, position, SEEK_DATA);
    if (data < 0 && errno == ENXIO) return cut_to_source(source, target, end);  // a hole up to the end
    if (data < 0) throw storage_error(errno, "cannot find a file's data");
    if (data >= end) return;
    off_t hole = lseek(source, data, SEEK_HOLE);
    if (hole < 0 && errno == ENXIO) return cut_to_source(source, target, end);
    if (hole < 0) throw storage_error(errno, "cannot find a file's holes");
    off_t stop = std::min(hole, end);
    off_t reached = copy_range(source, target, data, stop);
    if (reached < stop) return cut_to_source(source, target, end);
    position = stop;
  }
}

bool can_clone_in(int directory) {
  UniqueFd source = make_scratch_file(directory);
  UniqueFd target = make_scratch_file(directory);
  std::array<char, 4096> block{};
  block.fill('x');
  ssize_t written = pwrite(source.get(), block.data(), block.size(), 0);
  if (written != static_cast<ssize_t>(block.size()))
    throw storage_error(written < 0 ? errno : ENOSPC, "cannot try a file in the pool");
  return ioctl(target.get(), FICLONE, source.get()) == 0;
}

}  // namespace pgtwig::storage
