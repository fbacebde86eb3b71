// Directories and datasets for pools.
#include "storage/pool_place.h"

#include <fmt/format.h>
#include <sys/vfs.h>

#include "base/fs.h"
#include "base/ids.h"
#include "storage/mount_table.h"
#include "storage/volume_driver.h"
#include "storage/zfs/dataset.h"
#include "storage/zfs/zfs_driver.h"
#include "storage/zfs/zpool.h"

namespace pgtwig::storage {

namespace {

// A name below the dataset that holds the parent directory which no other installation's pool has.
std::string free_dataset(const std::filesystem::path& directory) {
  return fmt::format("{}/pgtwig-{}-{}", zfs::dataset_of(directory.parent_path()), directory.filename().string(),
                     random_hex_128().substr(0, 8));
}

}  // namespace

std::optional<PoolPlace> place_on_zpool(const std::string& name, const std::filesystem::path& otherwise) {
  if (obstacle_to_zfs() || !zfs::zpool_exists(name)) return std::nullopt;
  PoolPlace place{.directory = otherwise / name, .dataset = name + "/pgtwig"};
  // Made by an earlier pool, or by hand, wherever that mounts it.
  for (const std::string& dataset : {place.dataset, name}) {
    for (const Mount& mount : read_mounts()) {
      if (mount.type != "zfs" || mount.source != dataset) continue;
      place.directory = dataset == name ? mount.mount_point / "pgtwig" : mount.mount_point;
      return place;
    }
  }
  return place;
}

void make_place(const PoolPlace& place) {
  std::error_code error;
  if (zfs::is_mounted_dataset(place.dataset, place.directory)) return;
  if (!place.dataset.empty()) {
    zfs::make_dataset(place.dataset, place.directory);
  } else if (!std::filesystem::exists(place.directory, error) &&
             probe_driver_name(place.directory.parent_path()) == "zfs") {
    zfs::make_dataset(free_dataset(place.directory), place.directory);
  }
  make_directories(place.directory, 0711);
}

void remove_place(const std::filesystem::path& directory) {
  const auto mount = mount_at(directory);
  if (mount && mount->type == "zfs") zfs::remove_dataset(mount->source, directory);
  std::error_code not_empty;
  std::filesystem::remove(directory, not_empty);
}

Error why_copies(const std::filesystem::path& directory) {
  struct statfs status{};
  if (statfs(directory.c_str(), &status) == 0 && status.f_type == zfs::super_magic) {
    if (const auto obstacle = obstacle_to_zfs())
      return Error(obstacle->code(), fmt::format("{} is on ZFS, but {}", directory.string(), obstacle->message()),
                   obstacle->hint());
  }
  return Error(ErrorCode::not_available, fmt::format("{} cannot copy on write", directory.string()),
               "`pgtwig pool create` on a directory of Btrfs, ZFS or XFS is better");
}

}  // namespace pgtwig::storage
