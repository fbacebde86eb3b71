// A pool in an image file: sparse, on a loop device with direct I/O (a zpool lies on the file itself), mounted by
// pgtwig. Root only.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace pgtwig::storage {

enum class ImageFileSystem { btrfs, xfs, zfs };
// "btrfs", "xfs", "zfs"; nullopt for other names.
std::string_view image_file_system_name(ImageFileSystem file_system);
std::optional<ImageFileSystem> parse_image_file_system(std::string_view name);

// What a pool is made of when nobody says: the first of btrfs, xfs whose mkfs and kernel support are both here; nullopt
// with neither or without root or loop devices.
std::optional<ImageFileSystem> best_image_file_system();

// Makes and formats the image; never promises more than the host file system has free less a reserve (throws no_space
// with the numbers). Nothing is left behind on failure.
void create_image(const std::filesystem::path& image, Bytes size, ImageFileSystem file_system);
// Mounts it, or imports its zpool (noatime; loop device with direct I/O where the host allows it). Fine when it is
// mounted there already.
void mount_image(const std::filesystem::path& image, const std::filesystem::path& mount_point);
// Unmounts and frees the loop device. Fine when it is not mounted. Throws busy when something uses it.
void unmount_image(const std::filesystem::path& mount_point);
bool is_mounted(const std::filesystem::path& mount_point);
// Grows image, loop device and file system while mounted. Throws invalid_argument when `size` is smaller than it is.
void grow_image(const std::filesystem::path& image, const std::filesystem::path& mount_point, Bytes size);
// Gives freed blocks back to the host (FITRIM). Returns how much was trimmed.
Bytes trim(const std::filesystem::path& mount_point);

// What must stay free on the host below an image, and the mark below which creates are refused.
Bytes host_reserve(Bytes host_total);

}  // namespace pgtwig::storage
