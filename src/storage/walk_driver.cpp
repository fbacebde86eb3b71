// Volumes as plain directories.
#include "storage/walk_driver.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "storage/extent_usage.h"
#include "storage/storage_error.h"

namespace pgtwig::storage {

WalkDriver::WalkDriver(const std::filesystem::path& directory, WalkDriverParts parts)
    : pool_(directory), parts_(std::move(parts)) {}

void WalkDriver::effect(std::string_view name) const {
  if (parts_.walk.before_effect) parts_.walk.before_effect(name);
}

void WalkDriver::make_volume(const VolumeId& volume, mode_t mode, const std::function<void(int, int)>& fill) {
  UniqueFd pool = pool_.open();
  const std::string& name = volume.text();
  if (mkdirat(pool.get(), name.c_str(), mode) != 0) {
    if (errno == EEXIST) throw Error(ErrorCode::already_exists, fmt::format("volume {} exists already", name));
    throw storage_error(errno, fmt::format("cannot make volume {}", name));
  }
  try {
    UniqueFd directory(openat(pool.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!directory) throw storage_error(errno, fmt::format("cannot open volume {}", name));
    fill(pool.get(), directory.get());
  } catch (...) {
    remove_after_failure(pool.get(), name);
    throw;
  }
}

void WalkDriver::create(const VolumeId& volume) {
  effect("create");
  make_volume(volume, 0700, [this](int pool, int directory) {
    effect("create.mode");
    if (fchmod(directory, 0711) != 0) throw storage_error(errno, "cannot set a volume's mode");
    if (parts_.durable && (fsync(directory) != 0 || fsync(pool) != 0))
      throw storage_error(errno, "cannot write a volume to disk");
  });
}

void WalkDriver::fork(const VolumeId& source, const VolumeId& target, const ForkOptions& options) {
  UniqueFd source_volume = pool_.open_volume(source);
  effect("fork.begin");
  make_volume(target, 0700, [&](int, int directory) {
    TreeWalk walk = parts_.walk;
    walk.leave_out = options.leave_out;
    copy_tree(source_volume.get(), directory, walk);
    effect("fork.end");
    if (parts_.durable) parts_.sync(directory);
  });
}

void WalkDriver::refork_part(const VolumeId& source, const VolumeId& target, const std::filesystem::path& relative) {
  UniqueFd source_volume = pool_.open_volume(source);
  UniqueFd target_volume = pool_.open_volume(target);
  effect("refork_part");
  UniqueFd changed = replace_part(source_volume.get(), target_volume.get(), relative, parts_.walk);
  if (parts_.durable) parts_.sync(changed.get());
}

void WalkDriver::destroy(const VolumeId& volume) {
  UniqueFd pool = pool_.open();
  effect("destroy");
  UniqueFd directory(openat(pool.get(), volume.text().c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory && errno == ENOENT) return;
  // Two that remove one tree at once trip over each other: the second waits, and finds nothing.
  if (!directory || flock(directory.get(), LOCK_EX) != 0)
    throw storage_error(errno, fmt::format("cannot open volume {}", volume.text()));
  remove_tree_at(pool.get(), volume.text());
}

Lease WalkDriver::attach(const VolumeId& volume, const std::string&) {
  return pool_.lease(volume);
}

void WalkDriver::detach(const VolumeId&) {}

void WalkDriver::flush(const VolumeId& volume) {
  UniqueFd directory = pool_.open_volume(volume);
  effect("flush");
  if (parts_.durable && syncfs(directory.get()) != 0)
    throw storage_error(errno, fmt::format("cannot flush volume {}", volume.text()));
}

std::string WalkDriver::identity(const VolumeId& volume) {
  return directory_identity(pool_.open_volume(volume).get());
}

VolumeUsage WalkDriver::usage(const VolumeId& volume) {
  return extent_usage(pool_.open_volume(volume).get());
}

std::vector<VolumeEntry> WalkDriver::list() {
  return pool_.list([](int, const std::string&) { return true; });
}

PoolSpace WalkDriver::space() {
  return pool_.space();
}
}  // namespace pgtwig::storage
