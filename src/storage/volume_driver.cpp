// Which driver fits a directory, and the making of it.
#include "storage/volume_driver.h"

#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include <cerrno>

#include "base/fs.h"
#include "storage/btrfs/btrfs_driver.h"
#include "storage/copy/copy_driver.h"
#include "storage/file_content.h"
#include "storage/pool_directory.h"
#include "storage/reflink/reflink_driver.h"
#include "storage/storage_error.h"
#include "storage/zfs/dataset.h"
#include "storage/zfs/zfs_driver.h"

namespace pgtwig::storage {

std::string_view method_name(Method method) {
  switch (method) {
    case Method::snapshot:
      return "snapshot";
    case Method::reflink:
      return "reflink";
    case Method::copy:
      return "copy";
  }
  return "";
}

std::string probe_driver_name(const std::filesystem::path& directory) {
  UniqueFd opened = PoolDirectory(directory).open();
  struct statfs status{};
  if (fstatfs(opened.get(), &status) != 0)
    throw storage_error(errno, fmt::format("cannot look at {}", directory.string()));
  if (status.f_type == BTRFS_SUPER_MAGIC) return "btrfs";
  // Its files can share blocks only when they are on disk already, so there is nothing between a dataset and a copy.
  if (status.f_type == zfs::super_magic) return obstacle_to_zfs() ? "copy" : "zfs";
  return can_clone_in(opened.get()) ? "reflink" : "copy";
}

std::unique_ptr<VolumeDriver> open_driver(std::string_view driver, const std::filesystem::path& directory) {
  if (driver == "btrfs") return make_btrfs_driver(directory);
  if (driver == "zfs") return make_zfs_driver(directory);
  if (driver == "reflink") return make_reflink_driver(directory);
  if (driver == "copy") return make_copy_driver(directory);
  throw Error(ErrorCode::not_available, fmt::format("this pgtwig has no storage driver \"{}\"", driver),
              "the drivers are btrfs, zfs, reflink and copy");
}

}  // namespace pgtwig::storage
