// The copy driver: the walk with bytes.
#include "storage/copy/copy_driver.h"

#include <unistd.h>

#include <cerrno>

#include "storage/file_content.h"
#include "storage/storage_error.h"
#include "storage/walk_driver.h"

namespace pgtwig::storage {

namespace {

constexpr Capabilities copy_capabilities{.method = Method::copy,
                                         .atomic_fork = false,
                                         .constant_time_fork = false,
                                         .children_outlive_parent = true,
                                         .can_tear_pages = true};

void sync_file_system(int directory) {
  if (syncfs(directory) != 0) throw storage_error(errno, "cannot write a fork to disk");
}

}  // namespace

std::unique_ptr<VolumeDriver> make_copy_driver(const std::filesystem::path& directory) {
  return std::make_unique<WalkDriver>(directory,
                                      WalkDriverParts{.name = "copy",
                                                      .capabilities = copy_capabilities,
                                                      .walk = {.fill = copy_content, .threads = walk_threads},
                                                      .sync = sync_file_system});
}

}  // namespace pgtwig::storage
