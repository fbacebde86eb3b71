// The memory driver: the walk with bytes, on one thread so that the n-th effect is always the same one, and without
// syncs.
#include "storage/memory/memory_driver.h"

#include "storage/file_content.h"
#include "storage/walk_driver.h"

namespace pgtwig::storage {

namespace {

constexpr Capabilities memory_capabilities{.method = Method::copy,
                                           .atomic_fork = false,
                                           .constant_time_fork = false,
                                           .children_outlive_parent = true,
                                           .can_tear_pages = true};

}  // namespace

std::unique_ptr<VolumeDriver> make_memory_driver(const std::filesystem::path& directory, FaultInjector injector) {
  return std::make_unique<WalkDriver>(
      directory, WalkDriverParts{.name = "memory",
                                 .capabilities = memory_capabilities,
                                 .walk = {.fill = copy_content, .threads = 1, .before_effect = std::move(injector)},
                                 .durable = false});
}

}  // namespace pgtwig::storage
