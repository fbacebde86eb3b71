#include "engine/pools.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <sstream>

#include "base/error.h"
#include "base/fs.h"
#include "base/log.h"
#include "engine/known_pools.h"
#include "storage/pool_image.h"
#include "storage/pool_place.h"

namespace pgtwig::engine {
namespace {

// A pool with less than this free takes no new volumes: a full Btrfs cannot even delete.
constexpr Bytes pool_low_water_mark = 64_MiB;

Error pool_away(const catalog::PoolRecord& record, const std::string& why) {
  return Error(ErrorCode::storage_failed, fmt::format("pool {} is away: {}", record.name.text(), why),
               fmt::format("bring {} back (mount it, or import its zpool); its volumes are not lost and nothing in "
                           "pgtwig has to be done then",
                           record.directory.string()));
}

bool has_marker(const catalog::PoolRecord& record) {
  const auto marker = read_pool_marker(record.directory);
  return marker && marker->id == record.id;
}

std::string what_lies_there_instead(const catalog::PoolRecord& record) {
  if (read_pool_marker(record.directory)) return fmt::format("{} is another pool now", record.directory.string());
  if (storage::is_mounted(record.directory)) {
    return fmt::format("another file system is mounted at {}", record.directory.string());
  }
  return fmt::format("{} has no {}; the file system that holds the pool is not mounted", record.directory.string(),
                     pool_marker_file_name);
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
    std::error_code error;
    if (!std::filesystem::exists(record.image, error)) {
      throw pool_away(record, fmt::format("its image {} is not there", record.image.string()));
    }
    storage::mount_image(record.image, record.mount_point);
  }
  std::error_code error;
  if (!std::filesystem::is_directory(record.directory, error)) {
    throw pool_away(record, fmt::format("{} is not there", record.directory.string()));
  }
  if (!has_marker(record)) {
    throw pool_away(record, what_lies_there_instead(record));
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
    return record ? open(*record) : make_on_zpool(*name, operation);
  }
  // Two first projects at once make one default pool.
  const auto lock = lock_making();
  if (const auto record = engine_.catalog().find_pool(*PoolName::parse("default"))) return open(*record);
  return make_default(operation);
}

std::shared_ptr<OpenPool> Pools::make_on_zpool(const PoolName& name, Operation& operation) {
  const auto lock = lock_making();
  if (const auto record = engine_.catalog().find_pool(name)) return open(*record);
  const auto place = storage::place_on_zpool(name.text(), engine_.paths().pools());
  if (!place) {
    throw Error(ErrorCode::not_found, fmt::format("pool {} does not exist", name.text()),
                "`pgtwig pool list` shows all; `pgtwig pool create` makes one");
  }
  const catalog::PoolRecord record = make_pool(engine_, plan_on_zpool(name, *place), operation,
                                               [](catalog::Transaction& transaction) { transaction.commit(); });
  operation.notice(fmt::format("Pool {} ({}) in {}: dataset {}", name.text(), record.driver, record.directory.string(),
                               place->dataset));
  return open(record);
}

std::shared_ptr<OpenPool> Pools::make_default(Operation& operation) {
  const std::filesystem::path pools = engine_.paths().pools();
  make_directories(pools, 0711);
  PoolPlan plan{.name = *PoolName::parse("default"),
                .driver = storage::probe_driver_name(pools),
                .directory = pools / "default",
                .dataset = {},
                .image = {},
                .image_size = {},
                .image_file_system = {}};
  std::string why = fmt::format("{} can copy on write", pools.string());
  if (plan.driver == "copy") {
    const FileSystemSpace host = file_system_space(pools);
    const Bytes reserve = storage::host_reserve({host.total_bytes});
    const Bytes room{host.free_bytes > reserve.count ? host.free_bytes - reserve.count : 0};
    const auto image_file_system = storage::best_image_file_system();
    if (image_file_system && room >= smallest_automatic_image) {
      plan.driver.clear();
      plan.image = pools / "default.img";
      // A part less than there is room for: others write to the disk between this look at it and the next.
      plan.image_size = std::min(engine_.config().pool_image_size, Bytes{room.count - room.count / 16});
      plan.image_file_system = storage::image_file_system_name(*image_file_system);
      why = fmt::format("{}, so pgtwig made a sparse {} image of at most {}", storage::why_copies(pools).message(),
                        plan.image_file_system, format_bytes(plan.image_size));
    } else {
      const Error reason = storage::why_copies(pools);
      operation.warn(fmt::format("{}: branches are plain copies, slow and as large as their parent; {}",
                                 reason.message(), reason.hint()));
      why = "no file system that can copy on write was found";
    }
  }
  const catalog::PoolRecord record =
      make_pool(engine_, plan, operation, [](catalog::Transaction& transaction) { transaction.commit(); });
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
    for (const auto& project : engine_.catalog().projects()) {
      for (const auto& snapshot : engine_.catalog().snapshots(project.id)) known.push_back(snapshot.id);
    }
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
    view.warnings = pool->driver->warnings();
    view.state = "ready";
  } catch (const Error& error) {
    view.warnings.push_back(error.message());
  } catch (const std::exception& failure) {
    view.warnings.push_back(failure.what());
  }
  return view;
}

void sync_pool(const OpenPool& pool) {
  const UniqueFd directory = open_directory(pool.record.directory);
  if (::syncfs(directory.get()) != 0) throw system_error(errno, "cannot sync " + pool.record.directory.string());
}

PoolPlan plan_on_zpool(const PoolName& name, const storage::PoolPlace& place) {
  return {.name = name,
          .driver = "zfs",
          .directory = place.directory,
          .dataset = place.dataset,
          .image = {},
          .image_size = {},
          .image_file_system = {}};
}

std::optional<PoolMarker> read_pool_marker(const std::filesystem::path& directory) {
  const auto text = read_file_if_exists(directory / pool_marker_file_name);
  if (!text) return std::nullopt;
  std::istringstream words(*text);
  std::string id;
  std::string name;
  std::string installation;
  std::string driver;
  words >> id >> name >> installation >> driver;
  const auto pool = PoolId::parse(id);
  const auto pool_name = PoolName::parse(name);
  const auto owner = InstallationId::parse(installation);
  if (!pool || !pool_name || !owner || driver.empty()) return std::nullopt;
  return PoolMarker{*pool, *pool_name, *owner, driver};
}

namespace {

// What a pool is made of, taken back unless it was kept.
class StagedPool {
 public:
  explicit StagedPool(const PoolPlan& plan) : plan_(plan), had_directory_(std::filesystem::exists(plan.directory)) {}
  ~StagedPool() {
    if (kept_) return;
    try {
      take_back();
    } catch (...) {
      log::error("cannot take back the pool in {}: {}", plan_.directory.string(), describe_current_exception());
    }
  }

  void make_image() {
    if (!std::filesystem::exists(plan_.image)) {
      if (storage::is_mounted(plan_.directory))
        throw Error(
            ErrorCode::conflict,
            fmt::format("something is mounted already where the image would be: {}", plan_.directory.string()),
            fmt::format("look at it (findmnt {}) and unmount it, or choose another name", plan_.directory.string()));
      // Under its own name only when it is whole: what a crash leaves of it is no image and may be overwritten.
      const std::filesystem::path unfinished = plan_.image.string() + ".unfinished";
      // A person's own folder is another matter.
      if (plan_.image.parent_path() != plan_.directory.parent_path() && std::filesystem::exists(unfinished)) {
        throw Error(ErrorCode::conflict, fmt::format("{} is there already", unfinished.string()),
                    "remove it when nobody needs it, or choose another place");
      }
      std::filesystem::remove(unfinished);
      storage::create_image(unfinished, plan_.image_size,
                            storage::parse_image_file_system(plan_.image_file_system).value());
      // Not by a rename, which would replace a file that somebody put there meanwhile.
      if (::link(unfinished.c_str(), plan_.image.c_str()) != 0) {
        throw system_error(errno, fmt::format("cannot give the image its name {}", plan_.image.string()));
      }
      std::filesystem::remove(unfinished);
      made_image_ = true;
    }
    make_directories(plan_.directory, 0711);
    if (!storage::is_mounted(plan_.directory)) {
      storage::mount_image(plan_.image, plan_.directory);
      mounted_ = true;
    }
  }
  // PostgreSQL runs as another user and has to pass through; nobody else has to see what is in there.
  void make_directory() {
    storage::make_place({.directory = plan_.directory, .dataset = plan_.dataset});
    if (!had_directory_ || !plan_.image.empty()) {
      std::filesystem::permissions(plan_.directory, std::filesystem::perms(0711));
    }
  }
  void write_marker(const PoolMarker& marker) {
    write_file_durably(plan_.directory / pool_marker_file_name,
                       fmt::format("{}\n{}\n{}\n{}\n", marker.id.text(), marker.name.text(), marker.installation.text(),
                                   marker.driver));
    marked_ = true;
  }
  void keep() { kept_ = true; }

 private:
  void take_back() const {
    if (marked_) std::filesystem::remove(plan_.directory / pool_marker_file_name);
    if (mounted_) storage::unmount_image(plan_.directory);
    if (made_image_) std::filesystem::remove(plan_.image);
    if (!had_directory_) storage::remove_place(plan_.directory);
  }

  const PoolPlan& plan_;
  const bool had_directory_;
  bool made_image_ = false;
  bool mounted_ = false;
  bool marked_ = false;
  bool kept_ = false;
};

void refuse_pool_of_others(Engine& engine, const PoolPlan& plan, storage::VolumeDriver& driver) {
  const auto marker = read_pool_marker(plan.directory);
  if (marker && marker->installation != engine.catalog().installation()) {
    throw Error(
        ErrorCode::conflict, fmt::format("{} is a pool of another installation", plan.directory.string()),
        "if its catalog is lost, `pgtwig state rebuild` makes it anew from the pool; else choose another directory");
  }
  if (marker && engine.catalog().find_pool(marker->id)) {
    throw Error(ErrorCode::already_exists,
                fmt::format("{} is pool {} already", plan.directory.string(), marker->name.text()),
                "`pgtwig pool list` shows all");
  }
  const auto entries = driver.list();
  if (std::ranges::any_of(entries, [](const storage::VolumeEntry& entry) { return entry.id.has_value(); })) {
    throw Error(ErrorCode::conflict,
                fmt::format("{} holds volumes that the catalog does not know", plan.directory.string()),
                "`pgtwig state rebuild` takes them up again");
  }
}

}  // namespace

catalog::PoolRecord make_pool(Engine& engine, const PoolPlan& plan, Operation& operation,
                              const std::function<void(catalog::Transaction&)>& commit) {
  StagedPool staged(plan);
  if (!plan.image.empty()) {
    operation.step(fmt::format("Make image ({})", plan.image_file_system), [&] { staged.make_image(); });
  }
  staged.make_directory();
  const std::string driver_name = plan.driver.empty() ? storage::probe_driver_name(plan.directory) : plan.driver;
  const auto driver = engine.open_driver(driver_name, plan.directory);  // refuses one that cannot work here
  refuse_pool_of_others(engine, plan, *driver);
  const catalog::PoolRecord record{.id = PoolId::random(),
                                   .name = plan.name,
                                   .driver = driver_name,
                                   .directory = plan.directory,
                                   .image = plan.image,
                                   .mount_point = plan.image.empty() ? std::filesystem::path() : plan.directory,
                                   .created_at = engine.clock().now()};
  staged.write_marker(
      {.id = record.id, .name = record.name, .installation = engine.catalog().installation(), .driver = driver_name});
  remember_pools(engine, {{.directory = record.directory, .image = record.image}});
  auto transaction = engine.catalog().begin();
  transaction->insert(record);
  commit(*transaction);
  staged.keep();
  return record;
}

}  // namespace pgtwig::engine
