// The Btrfs driver.
#include "storage/btrfs/btrfs_driver.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>

#include "storage/btrfs/subvolume.h"
#include "storage/extent_usage.h"
#include "storage/file_content.h"
#include "storage/pool_directory.h"
#include "storage/storage_error.h"
#include "storage/tree_walk.h"

namespace pgtwig::storage {

namespace {

// A page of Btrfs is 4 KiB: the halves of an 8 KiB page can come from two transactions.
constexpr Capabilities btrfs_capabilities{.method = Method::snapshot,
                                          .atomic_fork = true,
                                          .constant_time_fork = true,
                                          .children_outlive_parent = true,
                                          .can_tear_pages = true};

class BtrfsDriver final : public VolumeDriver {
 public:
  explicit BtrfsDriver(const std::filesystem::path& directory) : pool_(directory) {}

  std::string_view name() const override { return "btrfs"; }
  const Capabilities& capabilities() const override { return btrfs_capabilities; }

  void create(const VolumeId& volume) override {
    UniqueFd pool = pool_.open();
    btrfs::create_subvolume_at(pool.get(), volume.text());
    if (fchmodat(pool.get(), volume.text().c_str(), 0711, 0) != 0 || syncfs(pool.get()) != 0) {
      Error error = storage_error(errno, fmt::format("cannot complete volume {}", volume.text()));
      btrfs::remove_subvolume_at(pool.get(), volume.text());
      throw error;
    }
  }

  void fork(const VolumeId& source, const VolumeId& target, const ForkOptions&) override {
    UniqueFd source_volume = pool_.open_volume(source);
    // A snapshot shows an empty directory where the source has a subvolume of its own: a fork with a hole.
    if (btrfs::has_nested_subvolumes(source_volume.get()))
      throw Error(ErrorCode::storage_failed,
                  fmt::format("volume {} holds a subvolume made by hand, which a fork would lose", source.text()),
                  fmt::format("find it by `btrfs subvolume list -o {}`; move it out of the volume, or replace it by a "
                              "plain directory",
                              (pool_.path() / source.text()).string()));
    UniqueFd pool = pool_.open();
    btrfs::snapshot_subvolume_at(source_volume.get(), pool.get(), target.text());
  }

  void refork_part(const VolumeId& source, const VolumeId& target, const std::filesystem::path& relative) override {
    UniqueFd source_volume = pool_.open_volume(source);
    UniqueFd target_volume = pool_.open_volume(target);
    make_durable(replace_part(source_volume.get(), target_volume.get(), relative, {.fill = clone_content}).get());
  }

  void destroy(const VolumeId& volume) override { btrfs::remove_subvolume_at(pool_.open().get(), volume.text()); }

  Lease attach(const VolumeId& volume, const std::string&) override { return pool_.lease(volume); }
  void detach(const VolumeId&) override {}

  void flush(const VolumeId& volume) override {
    if (syncfs(pool_.open_volume(volume).get()) != 0)
      throw storage_error(errno, fmt::format("cannot flush volume {}", volume.text()));
  }

  std::string identity(const VolumeId& volume) override {
    return btrfs::subvolume_uuid(pool_.open_volume(volume).get());
  }

  VolumeUsage usage(const VolumeId& volume) override { return extent_usage(pool_.open_volume(volume).get()); }
  std::vector<VolumeEntry> list() override { return pool_.list(btrfs::is_subvolume_at); }
  PoolSpace space() override { return pool_.space(); }

 private:
  PoolDirectory pool_;
};

}  // namespace

std::unique_ptr<VolumeDriver> make_btrfs_driver(const std::filesystem::path& directory) {
  auto driver = std::make_unique<BtrfsDriver>(directory);
  struct statfs status{};
  if (statfs(directory.c_str(), &status) != 0)
    throw storage_error(errno, fmt::format("cannot look at {}", directory.string()));
  if (status.f_type != BTRFS_SUPER_MAGIC)
    throw Error(ErrorCode::not_available, fmt::format("{} is not on a Btrfs file system", directory.string()),
                "use the reflink or copy driver there, or choose a directory on Btrfs");
  return driver;
}

}  // namespace pgtwig::storage
