#include "engine/pools.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/error.h"
#include "base/fs.h"
#include "base/log.h"
#include "storage/pool_image.h"

namespace pgtwig::engine {
namespace {

// A pool with less than this free takes no new volumes: a full Btrfs cannot even delete.
constexpr Bytes pool_low_water_mark = 64_MiB;
// An automatic image smaller than this would be of no use to anyone.
constexpr Bytes smallest_default_image = 1_GiB;

Error pool_away(const catalog::PoolRecord& record, const std::string& why) {
  return Error(
      ErrorCode::storage_failed, fmt::format("pool {} is away: {}", record.name.text(), why),
      fmt::format("bring {} back (mount it); its volumes are not lost and nothing in pgtwig has to be done then",
                  record.directory.string()));
}

bool has_marker(const catalog::PoolRecord& record) {
  const auto text = read_file_if_exists(record.directory / pool_marker_file_name);
  return text && text->starts_with(record.id.text());
}

std::string image_file_system_name(storage::ImageFileSystem file_system) {
  return file_system == storage::ImageFileSystem::btrfs ? "btrfs" : "xfs";
}

}  // namespace

std::shared_ptr<OpenPool> Pools::open(const PoolId& id) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = open_.find(id);
    // The marker is looked at each time: it costs one open, and a pool can be unmounted under us at any time.
    if (found != open_.end() && has_marker(found->second->record)) return found->second;
  }
  const auto record = engine_.catalog().find_pool(id);
  if (!record)
    throw Error(ErrorCode::not_found, "the pool of this project is not in the catalog", "pgtwig state rebuild");
  return open(*record);
}

std::shared_ptr<OpenPool> Pools::open(const catalog::PoolRecord& record) {
  const std::lock_guard lock(mutex_);
  const auto found = open_.find(record.id);
  if (found != open_.end() && has_marker(record)) return found->second;
  open_.erase(record.id);
  if (!record.image.empty() && !storage::is_mounted(record.mount_point)) {
    if (!std::filesystem::exists(record.image)) {
      throw pool_away(record, fmt::format("its image {} is not there", record.image.string()));
    }
    storage::mount_image(record.image, record.mount_point);
  }
  if (!std::filesystem::is_directory(record.directory)) {
    throw pool_away(record, fmt::format("{} is not there", record.directory.string()));
  }
  if (!has_marker(record)) {
    throw pool_away(record, fmt::format("another file system is mounted at {}", record.directory.string()));
  }
  auto pool = std::make_shared<OpenPool>(OpenPool{record, engine_.open_driver(record.driver, record.directory)});
  open_.emplace(record.id, pool);
  return pool;
}

void Pools::forget(const PoolId& id) {
  const std::lock_guard lock(mutex_);
  open_.erase(id);
}

std::shared_ptr<OpenPool> Pools::choose(const std::optional<PoolName>& wanted, Operation& operation) {
  std::optional<PoolName> name = wanted;
  if (!name && !engine_.config().pool.empty()) {
    const auto configured = PoolName::parse(engine_.config().pool);
    if (!configured)
      throw Error(ErrorCode::invalid_argument, "the configured pool has a bad name: " + configured.error());
    name = *configured;
  }
  if (name) {
    const auto record = engine_.catalog().find_pool(*name);
    if (!record) {
      throw Error(ErrorCode::not_found, fmt::format("pool {} does not exist", name->text()),
                  "`pgtwig pool list` shows all; `pgtwig pool create` makes one");
    }
    return open(*record);
  }
  // Two first projects at once make one default pool.
  const std::lock_guard lock(default_mutex_);
  if (const auto record = engine_.catalog().find_pool(*PoolName::parse("default"))) return open(*record);
  return make_default(operation);
}

std::shared_ptr<OpenPool> Pools::make_default(Operation& operation) {
  const std::filesystem::path pools = engine_.paths().pools();
  make_directories(pools, 0711);
  PoolPlan plan{.name = *PoolName::parse("default"),
                .driver = storage::probe_driver_name(pools),
                .directory = pools / "default",
                .image = {},
                .image_size = {},
                .image_file_system = {}};
  std::string why = fmt::format("{} can copy on write", pools.string());
  if (plan.driver == "copy") {
    const FileSystemSpace host = file_system_space(pools);
    const Bytes reserve = storage::host_reserve({host.total_bytes});
    const Bytes room{host.free_bytes > reserve.count ? host.free_bytes - reserve.count : 0};
    const auto image_file_system = storage::best_image_file_system();
    if (image_file_system && room >= smallest_default_image) {
      plan.driver.clear();
      plan.image = pools / "default.img";
      plan.image_size = std::min(engine_.config().pool_image_size, room);
      plan.image_file_system = image_file_system_name(*image_file_system);
      why = fmt::format("{} cannot copy on write, so pgtwig made a sparse {} image of at most {}", pools.string(),
                        plan.image_file_system, format_bytes(plan.image_size));
    } else {
      operation.warn(
          fmt::format("{} cannot copy on write: branches are plain copies, slow and as large as their parent; "
                      "`pgtwig pool create` on a Btrfs or XFS directory is better",
                      pools.string()));
      why = "no file system that can copy on write was found";
    }
  }
  const catalog::PoolRecord record = make_pool(engine_, plan, operation);
  try {
    auto transaction = engine_.catalog().begin();
    transaction->insert(record);
    transaction->commit();
  } catch (...) {
    unmake_pool(engine_, record);
    throw;
  }
  operation.notice(fmt::format("Pool default ({}) in {}: {}", record.driver, record.directory.string(), why));
  return open(record);
}

void Pools::require_room(const OpenPool& pool) {
  const storage::PoolSpace space = pool.driver->space();
  if (space.free < pool_low_water_mark) {
    throw Error(ErrorCode::no_space,
                fmt::format("pool {} has {} free of {}", pool.record.name.text(), format_bytes(space.free),
                            format_bytes(space.total)),
                pool.record.image.empty()
                    ? "delete branches that are not needed any more"
                    : fmt::format("`pgtwig pool grow {} SIZE`, or delete branches", pool.record.name.text()));
  }
  if (pool.record.image.empty()) return;
  // A host that fills up under an image aborts the image's file system and everything in it.
  const FileSystemSpace host = file_system_space(pool.record.image.parent_path());
  const Bytes reserve = storage::host_reserve({host.total_bytes});
  if (host.free_bytes < reserve.count / 2) {
    throw Error(ErrorCode::no_space,
                fmt::format("the disk below pool {} has only {} free; pgtwig keeps {} as a reserve",
                            pool.record.name.text(), format_bytes({host.free_bytes}), format_bytes(reserve)),
                fmt::format("free space on the disk, or `pgtwig pool trim {}`", pool.record.name.text()));
  }
}

void Pools::unmount_images() {
  for (const catalog::PoolRecord& record : engine_.catalog().pools()) {
    if (record.image.empty()) continue;
    try {
      forget(record.id);
      storage::unmount_image(record.mount_point);
    } catch (...) {
      log::warn("pool {} stays mounted: {}", record.name.text(), describe_current_exception());
    }
  }
}

PoolView Pools::view(const catalog::PoolRecord& record) {
  PoolView view{.name = record.name.text(),
                .state = "away",
                .driver = record.driver,
                .method = {},
                .directory = record.directory.string(),
                .image = record.image.empty() ? std::nullopt : std::optional(record.image.string()),
                .total_bytes = {},
                .free_bytes = {},
                .volume_count = 0,
                .foreign = {},
                .unowned = {},
                .is_default = false,
                .created_at = record.created_at,
                .warnings = {}};
  const std::string& configured = engine_.config().pool;
  view.is_default = record.name.text() == (configured.empty() ? "default" : configured);
  try {
    const auto pool = open(record);
    view.method = storage::method_name(pool->driver->capabilities().method);
    const storage::PoolSpace space = pool->driver->space();
    view.total_bytes = space.total;
    view.free_bytes = space.free;
    std::vector<IncarnationId> known;
    for (const auto& branch : engine_.catalog().branches()) known.push_back(branch.incarnation);
    for (const auto& swept : engine_.catalog().sweep_list()) known.push_back(swept.volume);
    std::sort(known.begin(), known.end());
    for (const storage::VolumeEntry& entry : pool->driver->list()) {
      if (!entry.id) {
        if (entry.name != pool_marker_file_name) view.foreign.push_back(entry.name);
        continue;
      }
      ++view.volume_count;
      if (!std::binary_search(known.begin(), known.end(), *entry.id)) view.unowned.push_back(entry.name);
    }
    view.state = "ready";
  } catch (const Error& error) {
    view.warnings.push_back(error.message());
  }
  return view;
}

catalog::PoolRecord make_pool(Engine& engine, const PoolPlan& plan, Operation& operation) {
  catalog::PoolRecord record{.id = PoolId::random(),
                             .name = plan.name,
                             .driver = plan.driver,
                             .directory = plan.directory,
                             .image = plan.image,
                             .mount_point = plan.image.empty() ? std::filesystem::path() : plan.directory,
                             .created_at = engine.clock().now()};
  const bool directory_was_there = std::filesystem::exists(plan.directory);
  try {
    if (!plan.image.empty()) {
      operation.step(fmt::format("Make image ({})", plan.image_file_system), [&] {
        storage::create_image(
            plan.image, plan.image_size,
            plan.image_file_system == "xfs" ? storage::ImageFileSystem::xfs : storage::ImageFileSystem::btrfs);
        make_directories(plan.directory, 0711);
        storage::mount_image(plan.image, plan.directory);
      });
    }
    make_directories(plan.directory, 0711);
    // PostgreSQL runs as another user and has to pass through; nobody else has to see what is in there.
    if (!directory_was_there || !plan.image.empty())
      std::filesystem::permissions(plan.directory, std::filesystem::perms(0711));
    if (record.driver.empty()) record.driver = storage::probe_driver_name(plan.directory);
    engine.open_driver(record.driver, plan.directory);  // refuses a driver that cannot work here
    write_file_durably(plan.directory / pool_marker_file_name, record.id.text() + "\n" + record.name.text() + "\n");
  } catch (...) {
    if (!plan.image.empty()) {
      unmake_pool(engine, record);
    } else if (!directory_was_there) {
      std::error_code ignored;
      std::filesystem::remove(plan.directory, ignored);
    }
    throw;
  }
  return record;
}

void unmake_pool(Engine& engine, const catalog::PoolRecord& record) noexcept {
  try {
    engine.pools().forget(record.id);
    std::error_code ignored;
    if (!record.image.empty()) {
      storage::unmount_image(record.mount_point);
      std::filesystem::remove(record.image, ignored);
    } else {
      std::filesystem::remove(record.directory / pool_marker_file_name, ignored);
    }
    std::filesystem::remove(record.directory, ignored);  // only when it is empty
  } catch (...) {
    log::error("cannot take back the pool in {}: {}", record.directory.string(), describe_current_exception());
  }
}

}  // namespace pgtwig::engine
