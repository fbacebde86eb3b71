// The reflink driver: the walk with FICLONE.
#include "storage/reflink/reflink_driver.h"

#include <fmt/format.h>
#include <sys/vfs.h>

#include "base/error.h"
#include "storage/file_content.h"
#include "storage/walk_driver.h"
#include "storage/zfs/dataset.h"

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
  UniqueFd opened = PoolDirectory(directory).open();
  struct statfs status{};
  // There FICLONE says EAGAIN of blocks that are not on disk yet, which those of a running PostgreSQL never all are.
  if (fstatfs(opened.get(), &status) == 0 && status.f_type == zfs::super_magic)
    throw Error(ErrorCode::not_available,
                fmt::format("{} is on ZFS, which can share only such blocks of files as are on disk already",
                            directory.string()),
                "use the zfs driver there, which needs root, or the copy driver");
  if (!can_clone_in(opened.get()))
    throw Error(ErrorCode::not_available,
                fmt::format("the file system of {} cannot share blocks between files", directory.string()),
                "use a directory on Btrfs or on XFS made with reflink=1, an image pool, or the copy driver");
  return std::make_unique<WalkDriver>(directory,
                                      WalkDriverParts{.name = "reflink",
                                                      .capabilities = reflink_capabilities,
                                                      .walk = {.fill = clone_content, .threads = walk_threads}});
}

}  // namespace pgtwig::storage
