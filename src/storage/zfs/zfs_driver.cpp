// The ZFS driver.
//
// The volumes of a pool are children of the dataset that holds the pool's directory: <dataset>/<id>, mounted at
// <directory>/<id>. A fork needs a snapshot between source and clone: <dataset>/<source>@pgtwig-<id of the fork>, which
// goes with the fork. docs/decisions has the reasons.
#include "storage/zfs/zfs_driver.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <set>

#include "base/fault.h"
#include "base/log.h"
#include "storage/file_content.h"
#include "storage/pool_directory.h"
#include "storage/tree_walk.h"
#include "storage/zfs/core_library.h"
#include "storage/zfs/dataset.h"
#include "storage/zfs/zfs_error.h"
#include "storage/zfs/zpool.h"

namespace pgtwig::storage {

namespace {

using zfs::Row;

// A record is a PostgreSQL page, and is whole or absent in a transaction group, and so in every fork. But what was
// synced after the last group is replayed from the intent log after a crash, which does not promise to keep a page in
// one piece.
constexpr Capabilities zfs_capabilities{.method = Method::snapshot,
                                        .atomic_fork = true,
                                        .constant_time_fork = true,
                                        .children_outlive_parent = true,
                                        .can_tear_pages = true};

constexpr std::string_view own_snapshot_prefix = "pgtwig-";

std::string part_after(const std::string& name, char separator) {
  return name.substr(name.rfind(separator) + 1);
}

bool is_own_snapshot(const Row& row) {
  return part_after(row.name, '@').starts_with(own_snapshot_prefix);
}

std::uint64_t number_of(const std::string& text) {
  return std::strtoull(text.c_str(), nullptr, 10);
}

class ZfsDriver final : public VolumeDriver {
 public:
  explicit ZfsDriver(const std::filesystem::path& directory)
      : pool_(directory),
        dataset_(zfs::dataset_of(directory)),
        // Where the pool is a dataset of its own, its volumes move with it: their mount points are inherited.
        is_dataset_root_(zfs::get_properties(dataset_, "mountpoint").at(0) == directory) {
    mount_all();
  }

  std::string_view name() const override { return "zfs"; }
  const Capabilities& capabilities() const override { return zfs_capabilities; }

  void create(const VolumeId& volume) override {
    pool_.open();
    core_.create(dataset_of(volume), properties_of(volume));
    try {
      mount_new(volume);
      UniqueFd root = pool_.open_volume(volume);
      if (fchmod(root.get(), 0711) != 0 || syncfs(root.get()) != 0)
        throw zfs::zfs_error(errno, fmt::format("cannot complete volume {}", volume.text()));
    } catch (...) {
      take_back(volume, {});
      throw;
    }
  }

  void fork(const VolumeId& source, const VolumeId& target, const ForkOptions&) override {
    open_volume(source);
    if (core_.exists(dataset_of(target)))
      throw Error(ErrorCode::already_exists, fmt::format("volume {} exists already", target.text()));
    if (zfs::has_mounts_below(path_of(source)))
      throw Error(ErrorCode::storage_failed,
                  fmt::format("something is mounted in volume {}, which a fork would lose", source.text()),
                  fmt::format("find it: findmnt --list | grep {}; move it elsewhere", path_of(source).string()));
    const std::string snapshot = fmt::format("{}@{}{}", dataset_of(source), own_snapshot_prefix, target.text());
    core_.snapshot(snapshot);
    bool is_cloned = false;
    try {
      fault::point("zfs.snapshot_taken");
      core_.clone(snapshot, dataset_of(target), properties_of(target));
      is_cloned = true;
      fault::point("zfs.cloned");
      mount_new(target);
    } catch (...) {
      take_back(is_cloned ? std::optional(target) : std::nullopt, snapshot);
      throw;
    }
  }

  // Files of two datasets share no blocks.
  void refork_part(const VolumeId& source, const VolumeId& target, const std::filesystem::path& relative) override {
    UniqueFd source_volume = open_volume(source);
    UniqueFd target_volume = open_volume(target);
    replace_part(source_volume.get(), target_volume.get(), relative, {.fill = copy_content});
    // A replay of the intent log would give directories other times.
    core_.sync(dataset_);
  }

  void destroy(const VolumeId& volume) override {
    pool_.open();
    const std::lock_guard lock(restructuring_);
    if (!core_.exists(dataset_of(volume))) return remove_remains(volume);
    const std::vector<Row> rows = zfs::list_rows(dataset_of(volume), 1);
    refuse_what_is_not_ours(volume, rows);
    zfs::unmount_dataset(path_of(volume));
    try {
      fault::point("zfs.unmounted");
      hand_snapshots_on(rows);
      fault::point("zfs.snapshots_handed_on");
      // Marked before its last clone goes, so that it goes together with that, whatever happens in between.
      const std::string origin = zfs::get_properties(dataset_of(volume), "origin").at(0);
      if (part_after(origin, '@').starts_with(own_snapshot_prefix)) core_.destroy_snapshot(origin);
      core_.destroy(dataset_of(volume));
    } catch (...) {
      mount_again(volume);
      throw;
    }
  }

  Lease attach(const VolumeId& volume, const std::string&) override {
    open_volume(volume);
    return pool_.lease(volume);
  }
  void detach(const VolumeId&) override {}

  void flush(const VolumeId& volume) override {
    if (syncfs(open_volume(volume).get()) != 0)
      throw zfs::zfs_error(errno, fmt::format("cannot flush volume {}", volume.text()));
  }

  std::string identity(const VolumeId& volume) override {
    open_volume(volume);
    return zfs::get_properties(dataset_of(volume), "guid").at(0);
  }

  // As `zfs list` accounts for it, compressed: what it refers to, and what of that was written since the snapshot that
  // it shares with others.
  VolumeUsage usage(const VolumeId& volume) override {
    open_volume(volume);
    const std::vector<std::string> values = zfs::get_properties(dataset_of(volume), "referenced,written");
    const std::uint64_t logical = number_of(values.at(0));
    const std::uint64_t unique = std::min(number_of(values.at(1)), logical);
    return {.logical = {logical}, .unique = {unique}, .shared = {logical - unique}};
  }

  std::vector<VolumeEntry> list() override {
    pool_.open();
    std::set<std::string> volumes;
    std::set<std::string> foreign;
    for (const Row& row : zfs::list_rows(dataset_, 2)) {
      if (row.is_snapshot()) {
        if (is_own_snapshot(row)) continue;
        const std::string owner = row.name.substr(0, row.name.find('@'));
        if (volumes.contains(part_after(owner, '/'))) foreign.insert(part_after(row.name, '/'));
      } else if (is_volume(row)) {
        volumes.insert(row.volume);
      } else if (row.name != dataset_ && is_here(row)) {
        foreign.insert(row.name.substr(dataset_.size() + 1));
      }
    }
    std::vector<VolumeEntry> entries = pool_.list([&](int, const std::string& name) { return volumes.contains(name); });
    for (const VolumeEntry& entry : entries) {
      volumes.erase(entry.name);
      foreign.erase(entry.name);
    }
    for (const std::string& name : volumes) entries.push_back({name, VolumeId::parse(name)});
    for (const std::string& name : foreign) entries.push_back({name, std::nullopt});
    return entries;
  }

  // What statfs() says of a dataset leaves out what its children hold.
  PoolSpace space() override {
    pool_.open();
    const std::vector<std::string> values = zfs::get_properties(dataset_, "used,available");
    const std::uint64_t free = number_of(values.at(1));
    return {.total = {number_of(values.at(0)) + free}, .free = {free}};
  }

  std::vector<std::string> warnings() override { return zfs::zpool_warnings(zfs::zpool_of(dataset_)); }

 private:
  std::string dataset_of(const VolumeId& volume) const { return fmt::format("{}/{}", dataset_, volume.text()); }
  std::filesystem::path path_of(const VolumeId& volume) const { return pool_.path() / volume.text(); }

  // A clone inherits from its parent by name, not from its origin: each gets all of them.
  zfs::Properties properties_of(const VolumeId& volume) const {
    constexpr std::uint64_t lz4 = 15;  // ZIO_COMPRESS_LZ4
    constexpr std::uint64_t postgres_page = 8192;
    zfs::Properties properties{
        .numbers = {{"recordsize", postgres_page}, {"compression", lz4}, {"atime", 0}, {"setuid", 0}, {"devices", 0}},
        // Snapshots that zfs-auto-snapshot would take by itself would hold on to every deleted volume.
        .texts = {{std::string(zfs::volume_property), volume.text()}, {"com.sun:auto-snapshot", "false"}}};
    if (!is_dataset_root_) properties.texts.emplace("mountpoint", path_of(volume).string());
    return properties;
  }

  bool is_here(const Row& row) const { return std::filesystem::path(row.mountpoint).parent_path() == pool_.path(); }
  // One of ours, of this pool, and not the copy of one that somebody sent and received under another name.
  bool is_volume(const Row& row) const {
    return !row.volume.empty() && row.name == dataset_ + "/" + row.volume && VolumeId::parse(row.volume) &&
           is_here(row);
  }

  // Mounted where it is not: after an import without mounts, or when somebody unmounted it.
  UniqueFd open_volume(const VolumeId& volume) const {
    UniqueFd pool = pool_.open();
    if (!zfs::is_mount_root_at(pool.get(), volume.text())) {
      if (!core_.exists(dataset_of(volume)))
        throw Error(ErrorCode::not_found,
                    fmt::format("there is no volume {} in pool {}", volume.text(), pool_.path().string()),
                    "if it was destroyed by hand (`zfs destroy -R` takes along all that was forked from it), only the "
                    "branch is left to be deleted");
      zfs::mount_dataset(dataset_of(volume), path_of(volume));
    }
    return pool_.open_volume(volume);
  }

  void mount_new(const VolumeId& volume) const {
    zfs::mount_dataset(dataset_of(volume), path_of(volume));
    if (zfs::is_read_only(path_of(volume)))
      throw zfs::zfs_error(EROFS, fmt::format("cannot use dataset {}", dataset_of(volume)));
  }

  void mount_all() const {
    for (const Row& row : zfs::list_rows(dataset_, 1)) {
      if (row.is_snapshot() || row.is_mounted || !is_volume(row)) continue;
      try {
        zfs::mount_dataset(row.name, row.mountpoint);
      } catch (...) {
        log::warn("volume {} stays unmounted: {}", row.volume, describe_current_exception());
      }
    }
  }

  void mount_again(const VolumeId& volume) const noexcept {
    try {
      if (core_.exists(dataset_of(volume))) zfs::mount_dataset(dataset_of(volume), path_of(volume));
    } catch (...) {
      log::warn("volume {} stays unmounted: {}", volume.text(), describe_current_exception());
    }
  }

  // What a failed create() or fork() made, while the failure is on its way to the caller.
  void take_back(const std::optional<VolumeId>& volume, const std::string& snapshot) const noexcept {
    try {
      if (volume) {
        zfs::unmount_dataset(path_of(*volume));
        core_.destroy(dataset_of(*volume));
      }
      if (!snapshot.empty()) core_.destroy_snapshot(snapshot);
    } catch (...) {
      log::error("something is left of a volume that could not be made: {}", describe_current_exception());
    }
  }

  // Of a volume that is gone, or whose fork ended between snapshot and clone.
  void remove_remains(const VolumeId& volume) const {
    const std::string suffix = fmt::format("@{}{}", own_snapshot_prefix, volume.text());
    for (const Row& row : zfs::list_rows(dataset_, 2))
      if (row.is_snapshot() && row.name.ends_with(suffix)) core_.destroy_snapshot(row.name);
    if (unlinkat(pool_.open().get(), volume.text().c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT || errno == ENOTDIR)
      return;
    throw Error(ErrorCode::storage_failed,
                fmt::format("{} is not a dataset, so it is not pgtwig's to remove", path_of(volume).string()));
  }

  // Before anything is changed.
  void refuse_what_is_not_ours(const VolumeId& volume, const std::vector<Row>& rows) const {
    for (const Row& row : rows) {
      if (row.name == dataset_of(volume)) {
        if (is_volume(row)) continue;
        throw Error(ErrorCode::storage_failed,
                    fmt::format("dataset {} is not marked as pgtwig's, so it is not pgtwig's to remove", row.name));
      }
      if (!row.is_snapshot())
        throw Error(ErrorCode::conflict,
                    fmt::format("dataset {} was made by hand in a volume that is to be destroyed", row.name),
                    fmt::format("move it elsewhere (zfs rename {} ...) or destroy it", row.name));
      if (!is_own_snapshot(row))
        throw Error(ErrorCode::conflict,
                    fmt::format("snapshot {} was made by hand of a volume that is to be destroyed", row.name),
                    fmt::format("keep what is in it elsewhere (zfs send), then: zfs destroy {}", row.name));
    }
  }

  // Gives the snapshots of a volume to the forks that were made from them, newest first: who is promoted takes over
  // that snapshot and all older ones, so mostly one promotion is all. Afterwards the volume has none.
  void hand_snapshots_on(const std::vector<Row>& rows) const {
    for (auto row = rows.rbegin(); row != rows.rend(); ++row) {
      if (!row->is_snapshot()) continue;
      if (!core_.exists(row->name)) continue;  // handed on with a newer one
      if (row->clones.empty()) {
        core_.destroy_snapshot(row->name);
        continue;
      }
      const auto heir = std::ranges::find_if(row->clones, [&](const std::string& clone) {
        return clone == dataset_ + "/" + part_after(clone, '/') && VolumeId::parse(part_after(clone, '/')).has_value();
      });
      if (heir == row->clones.end())
        throw Error(
            ErrorCode::conflict,
            fmt::format("dataset {} was made by hand from a volume that is to be destroyed", row->clones.front()),
            fmt::format("make it independent (zfs promote {}) or destroy it", row->clones.front()));
      core_.promote(*heir);
    }
  }

  PoolDirectory pool_;
  zfs::CoreLibrary core_;
  std::string dataset_;
  bool is_dataset_root_;
  std::mutex restructuring_;  // destroying looks, and then changes what others of its family are
};

}  // namespace

std::unique_ptr<VolumeDriver> make_zfs_driver(const std::filesystem::path& directory) {
  UniqueFd opened = PoolDirectory(directory).open();
  struct statfs status{};
  if (fstatfs(opened.get(), &status) != 0)
    throw zfs::zfs_error(errno, fmt::format("cannot look at {}", directory.string()));
  if (status.f_type != zfs::super_magic)
    throw Error(ErrorCode::not_available, fmt::format("{} is not on ZFS", directory.string()),
                "choose a directory in a ZFS dataset, or another driver");
  if (const auto obstacle = obstacle_to_zfs()) throw *obstacle;
  return std::make_unique<ZfsDriver>(std::filesystem::canonical(directory));
}

std::optional<Error> obstacle_to_zfs() {
  if (geteuid() != 0)
    return Error(
        ErrorCode::not_available,
        "on Linux only root may mount a dataset, whatever `zfs allow` grants, so only root's daemon can branch "
        "on ZFS",
        "use root's daemon (its group pgtwig may), or the copy driver there");
  try {
    zfs::CoreLibrary core;
    return std::nullopt;
  } catch (const Error& error) {
    if (error.code() == ErrorCode::not_available || error.code() == ErrorCode::not_allowed) return error;
    throw;
  }
}

}  // namespace pgtwig::storage
