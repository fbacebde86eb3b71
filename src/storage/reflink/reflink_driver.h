// The reflink driver: a fork shares the blocks of each file, on XFS and whatever else has FICLONE.
#pragma once

#include "storage/volume_driver.h"

namespace pgtwig::storage {

// Throws not_available where files cannot share blocks.
std::unique_ptr<VolumeDriver> make_reflink_driver(const std::filesystem::path& directory);

}  // namespace pgtwig::storage
