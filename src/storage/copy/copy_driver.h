// The copy driver: a fork copies all bytes, on any file system, and says so.
#pragma once

#include "storage/volume_driver.h"

namespace pgtwig::storage {

std::unique_ptr<VolumeDriver> make_copy_driver(const std::filesystem::path& directory);

}  // namespace pgtwig::storage
