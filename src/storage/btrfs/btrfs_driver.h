// The Btrfs driver: a volume is a subvolume, a fork is one atomic snapshot ioctl.
#pragma once

#include "storage/volume_driver.h"

namespace pgtwig::storage {

// Throws not_available when `directory` does not lie on Btrfs.
std::unique_ptr<VolumeDriver> make_btrfs_driver(const std::filesystem::path& directory);

}  // namespace pgtwig::storage
