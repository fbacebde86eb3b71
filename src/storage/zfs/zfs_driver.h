// The ZFS driver: a volume is a dataset, a fork is a snapshot and its clone.
#pragma once

#include <optional>

#include "base/error.h"
#include "storage/volume_driver.h"

namespace pgtwig::storage {

// Throws not_available when `directory` does not lie on ZFS, or ZFS cannot be used. Mounts volumes that are not.
std::unique_ptr<VolumeDriver> make_zfs_driver(const std::filesystem::path& directory);
// Why this process may not do what the driver does (programs, library, the right to mount), and what helps; nullopt: it
// may.
std::optional<Error> obstacle_to_zfs();

}  // namespace pgtwig::storage
