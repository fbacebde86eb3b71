// The reflink driver: the walk with FICLONE.
#include "storage/reflink/reflink_driver.h"

#include <fmt/format.h>

#include "base/error.h"
#include "storage/file_content.h"
#include "storage/walk_driver.h"

namespace pgtwig::storage {

namespace {

// FICLONE too writes each file's dirty pages first, but only the source's own, while a flush ahead would write the
// whole file system's; and as nobody is held up during a walk, there is no critical moment to shorten.
constexpr Capabilities reflink_capabilities{.method = Method::reflink,
                                            .atomic_fork = false,
                                            .constant_time_fork = false,
                                            .children_outlive_parent = true,
                                            .can_tear_pages = true};

}  // namespace

std::unique_ptr<VolumeDriver> make_reflink_driver(const std::filesystem::path& directory) {
  if (!can_clone_in(PoolDirectory(directory).open().get()))
    throw Error(ErrorCode::not_available,
                fmt::format("the file system of {} cannot share blocks between files", directory.string()),
                "use a directory on Btrfs or on XFS made with reflink=1, an image pool, or the copy driver");
  return std::make_unique<WalkDriver>(directory,
                                      WalkDriverParts{.name = "reflink",
                                                      .capabilities = reflink_capabilities,
                                                      .walk = {.fill = clone_content, .threads = walk_threads}});
}

}  // namespace pgtwig::storage
