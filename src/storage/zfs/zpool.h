// zpools, by the program `zpool`: looked at, and made in an image file. Called by the ZFS driver and pool_image.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace pgtwig::storage::zfs {

// "tank" of "tank/data/pg".
std::string zpool_of(const std::string& dataset);
bool zpool_exists(const std::string& zpool);
// What is wrong with it, for a person; nothing when all is well.
std::vector<std::string> zpool_warnings(const std::string& zpool);
// The same of the output of `zpool list -Hp -o health,readonly`.
std::vector<std::string> warnings_of(const std::string& zpool, std::string_view listed);

// A zpool in an image file. It is in no cache file: only who knows the image imports it.
// Whether the image's labels are those of a zpool.
bool holds_zpool(int image);
// Fills the empty image with a new zpool, which is not imported then.
void make_zpool(const std::filesystem::path& image);
// The name of the imported zpool that lies in the image; nullopt when none does.
std::optional<std::string> imported_zpool(const std::filesystem::path& image);
// The zpools of the output of `zpool list -vHP -o name`, each with a device or file that it lies on.
struct ZpoolDevice {
  std::string zpool;
  std::filesystem::path device;
};
std::vector<ZpoolDevice> parse_zpool_devices(std::string_view listed);
// Imports it where it is not, and mounts its topmost dataset and those in that.
void mount_zpool(const std::filesystem::path& image, const std::filesystem::path& mount_point);
// Unmounts all of it. Throws busy.
void export_zpool(const std::string& zpool);
// Takes up the length that the image has now.
void grow_zpool(const std::string& zpool, const std::filesystem::path& image);
// Makes holes in the image of what is free. Returns by how much the image takes less of its disk.
Bytes trim_zpool(const std::string& zpool);

// Makes a dataset that is mounted at `directory`, or takes the one that is there, and mounts it.
void make_dataset(const std::string& dataset, const std::filesystem::path& directory);
// What a failure leaves of it. Fine when there is none.
void remove_dataset(const std::string& dataset, const std::filesystem::path& directory);

}  // namespace pgtwig::storage::zfs
