// The ZFS driver: a volume is a dataset, a fork is a snapshot and its clone.
#pragma once

#include "storage/volume_driver.h"

namespace pgtwig::storage {

// Throws not_available when `directory` does not lie on ZFS, or ZFS cannot be used. Mounts volumes that are not.
std::unique_ptr<VolumeDriver> make_zfs_driver(const std::filesystem::path& directory);
// Whether this process may do there what the driver does: programs, library and the right to mount.
bool can_use_zfs();

}  // namespace pgtwig::storage
