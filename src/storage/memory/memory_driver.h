// The driver for tests: a plain directory with the failures that cannot be had from a real file system on demand.
#pragma once

#include <functional>

#include "storage/volume_driver.h"

namespace pgtwig::storage {

// Called before each effect with its name ("create", "fork.begin", "fork.file", "fork.end", "destroy", ...); may throw.
using FaultInjector = std::function<void(std::string_view effect)>;

// Volumes hold their files below `directory` (a tmpfs in tests) so that callers can read and write them as they do
// everywhere else.
std::unique_ptr<VolumeDriver> make_memory_driver(const std::filesystem::path& directory, FaultInjector injector);

}  // namespace pgtwig::storage
