// The one place that gives an errno of ZFS its code and hint; what it has nothing to add to, storage_error() says.
#include "storage/zfs/zfs_error.h"

#include <fmt/format.h>

#include <cerrno>
#include <system_error>

#include "storage/storage_error.h"

namespace pgtwig::storage::zfs {

namespace {

constexpr int first_own_error = 1024;  // ZFS_ERR_CHECKPOINT_EXISTS in sys/fs/zfs.h: no errno of the system's

}  // namespace

Error zfs_error(int error_number, std::string_view action) {
  if (error_number >= first_own_error)
    return Error(ErrorCode::storage_failed, fmt::format("{}: ZFS error {}", action, error_number),
                 "see what the pool says of itself: zpool status -v");
  const std::string message = fmt::format("{}: {}", action, std::generic_category().message(error_number));
  switch (error_number) {
    case EEXIST:
      return Error(ErrorCode::already_exists, message);
    case ENOENT:
      return Error(ErrorCode::not_found, message, "see what is there: zfs list -t all; zpool import");
    case EBUSY:
      return Error(ErrorCode::busy, message,
                   "something uses it: a process (fuser -vm DIRECTORY), a hold (zfs holds SNAPSHOT) or a send");
    case EROFS:
      return Error(ErrorCode::storage_failed, message,
                   "the pool or the dataset is read-only: see `zpool get readonly` and `zfs get readonly`; import the "
                   "pool anew without -o readonly=on, or `zfs inherit readonly DATASET`");
    case EPERM:
    case EACCES:
      return Error(ErrorCode::not_allowed, message,
                   "on Linux only root may mount a dataset: let root's daemon use the pool, or use a directory pool of "
                   "the copy driver");
    case EIO:
    case ENXIO:
    case EAGAIN:
      return Error(ErrorCode::storage_failed, message,
                   "the pool has lost a disk or is suspended: zpool status -v; then `zpool clear POOL`");
    default:
      return storage_error(error_number, action);
  }
}

}  // namespace pgtwig::storage::zfs
