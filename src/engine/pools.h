// The pools of this installation and the drivers that serve them.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "catalog/catalog.h"
#include "engine/engine.h"
#include "engine/operation.h"
#include "storage/pool_place.h"
#include "storage/volume_driver.h"

namespace pgtwig::engine {

// Where the volumes of one pool are reached. Shared by everyone who works on them: a driver object lives as long as
// anyone does.
struct OpenPool {
  catalog::PoolRecord record;
  std::unique_ptr<storage::VolumeDriver> driver;
};

class Pools {
 public:
  explicit Pools(Engine& engine) : engine_(engine) {}

  // Mounts what has to be mounted and opens its driver. Throws Error storage_failed "pool away" when the directory is
  // not there or is not the one that the pool was made in: its volumes are away, not lost.
  std::shared_ptr<OpenPool> open(const PoolId& id);
  std::shared_ptr<OpenPool> open(const catalog::PoolRecord& record);
  // Forgets the driver, so that the next open() looks at the file system again.
  void forget(const PoolId& id);

  // The pool for a new project: `wanted`, which may be the name of a zpool that no pool was made on yet; the configured
  // one; the one called "default", or one that is made now, by the
  // first that fits: the state directory's own file system if it can copy on write; an image file; plain copies. What
  // was chosen is said aloud.
  std::shared_ptr<OpenPool> choose(const std::optional<PoolName>& wanted, Operation& operation);

  // Throws Error no_space when new volumes would endanger what is there: the pool, or the host below its image, is
  // nearly full.
  void require_room(const OpenPool& pool);

  // Held by whoever makes a pool: two that are made at once could otherwise be one.
  std::unique_lock<std::mutex> lock_making() { return std::unique_lock(making_mutex_); }

  // Of all image pools, when every instance has been stopped. What is in use stays mounted and is logged.
  void unmount_images();

  PoolView view(const catalog::PoolRecord& record);

 private:
  std::shared_ptr<OpenPool> make_default(Operation& operation);
  std::shared_ptr<OpenPool> make_on_zpool(const PoolName& name, Operation& operation);

  Engine& engine_;
  std::mutex mutex_;
  std::map<PoolId, std::shared_ptr<OpenPool>> open_;
  std::mutex making_mutex_;
};

// When it returns, what was done in the pool so far survives a loss of power.
void sync_pool(const OpenPool& pool);

// The file in a pool's directory that says which pool it is: another file system mounted there does not have it.
inline constexpr const char* pool_marker_file_name = ".pgtwig-pool";
struct PoolMarker {
  PoolId id;
  PoolName name;
  InstallationId installation;
  std::string driver;
};
std::optional<PoolMarker> read_pool_marker(const std::filesystem::path& directory);

// What a new pool is made of; used by create_pool and for the default one.
struct PoolPlan {
  PoolName name;
  std::string driver;               // empty: by probing
  std::filesystem::path directory;  // made where it does not exist
  std::string dataset = {};         // of ZFS, mounted there; empty: as the directory above it suggests
  std::filesystem::path image;      // empty: none
  Bytes image_size;
  std::string image_file_system;  // "btrfs", "xfs", "zfs"
};
PoolPlan plan_on_zpool(const PoolName& name, const storage::PoolPlace& place);
// Makes it and commits its record with `operation`, if that is given, or on its own. Nothing is left behind on failure.
// An image or a marker that a daemon made and died over is taken up again; one that holds volumes the catalog does not
// know, or is of another installation, is refused and never touched: it may be all that is left of a lost catalog.
catalog::PoolRecord make_pool(Engine& engine, const PoolPlan& plan, Operation& operation,
                              const std::function<void(catalog::Transaction&)>& commit);

}  // namespace pgtwig::engine
