// Pools that a person makes, grows and trims; the default one makes itself (pools.cpp).
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/fs.h"
#include "engine/body.h"
#include "engine/operation.h"
#include "engine/pools.h"
#include "storage/pool_image.h"
#include "storage/pool_place.h"

namespace pgtwig::engine {
namespace {

LockRequest pool_lock(const PoolName& name) {
  return {"pool " + name.text(), LockMode::exclusive};
}

bool is_in(const std::filesystem::path& path, const std::filesystem::path& directory) {
  return std::ranges::mismatch(directory, path).in1 == directory.end();
}

// Volumes never lie among pgtwig's own files: neither where those are, nor in a directory that holds all of them. Below
// the default place of pools, and in whatever else a person made in the state folder, they may.
void refuse_own_directory(const Paths& paths, const std::filesystem::path& directory) {
  const auto canonical = [](const std::filesystem::path& path) { return std::filesystem::weakly_canonical(path); };
  bool is_own = is_in(canonical(paths.state), directory) || is_in(canonical(paths.pools()), directory);
  for (const auto& own : {paths.log_file().parent_path(), paths.helper().parent_path(), paths.endpoint(), paths.run}) {
    is_own = is_own || is_in(directory, canonical(own));
  }
  if (!is_own) return;
  throw Error(ErrorCode::invalid_argument, fmt::format("{} holds files of pgtwig itself", directory.string()),
              fmt::format("make a directory for the pool alone, for example {}", (paths.pools() / "NAME").string()));
}

PoolPlan plan_of_directory(Engine& engine, const CreatePool& request) {
  if (!request.directory->is_absolute()) {
    throw Error(ErrorCode::invalid_argument, fmt::format("{} is not an absolute path", request.directory->string()));
  }
  if (!std::filesystem::is_directory(*request.directory)) {
    throw Error(ErrorCode::not_found, fmt::format("{} is not a directory", request.directory->string()),
                "make it first");
  }
  if (request.file_system) {
    throw Error(ErrorCode::invalid_argument, "--file-system is for images: a directory has its own already");
  }
  const std::filesystem::path directory = std::filesystem::canonical(*request.directory);
  refuse_own_directory(engine.paths(), directory);
  return {.name = request.name,
          .driver = request.driver.value_or(""),
          .directory = directory,
          .dataset = {},
          .image = {},
          .image_size = {},
          .image_file_system = {}};
}

// The one that was asked for, by its own name or by that of its driver; else the best one.
storage::ImageFileSystem image_file_system_of(const CreatePool& request) {
  const std::optional<std::string> wanted =
      request.file_system || request.driver != "zfs" ? request.file_system : request.driver;
  if (wanted) {
    const auto file_system = storage::parse_image_file_system(*wanted);
    if (!file_system) {
      throw Error(ErrorCode::invalid_argument, fmt::format("an image cannot be {}", *wanted), "use btrfs, xfs or zfs");
    }
    return *file_system;
  }
  const auto best = storage::best_image_file_system();
  if (!best) {
    throw Error(ErrorCode::not_available, "an image pool needs loop devices and mkfs.btrfs or mkfs.xfs",
                "give --directory with a directory on Btrfs, ZFS or XFS");
  }
  return *best;
}

// The place that a person wants the image at. What is there already is theirs: it is not taken for an image.
std::filesystem::path place_of_new_image(const std::filesystem::path& wanted) {
  if (!wanted.is_absolute()) {
    throw Error(ErrorCode::invalid_argument, fmt::format("{} is not an absolute path", wanted.string()));
  }
  if (!wanted.has_filename() || !std::filesystem::is_directory(wanted.parent_path())) {
    throw Error(ErrorCode::not_found, fmt::format("{} is not in a directory that exists", wanted.string()),
                fmt::format("make it first: mkdir -p {}", wanted.parent_path().string()));
  }
  const std::filesystem::path image = std::filesystem::canonical(wanted.parent_path()) / wanted.filename();
  if (std::filesystem::exists(std::filesystem::symlink_status(image))) {
    throw Error(ErrorCode::already_exists, fmt::format("{} exists already", image.string()),
                "choose the name of a new file, which pgtwig makes");
  }
  return image;
}

PoolPlan plan_of_image(Engine& engine, const CreatePool& request) {
  if (engine.daemon_user().uid != 0) {
    throw Error(ErrorCode::not_allowed, "an image pool is mounted, which only root's daemon may do",
                "give --directory with a directory on Btrfs or XFS");
  }
  const std::filesystem::path pools = engine.paths().pools();
  PoolPlan plan{.name = request.name,
                .driver = request.driver.value_or(""),
                .directory = pools / request.name.text(),
                .dataset = {},
                .image = request.image ? place_of_new_image(*request.image) : pools / (request.name.text() + ".img"),
                .image_size = request.image_size.value_or(engine.config().pool_image_size),
                .image_file_system = std::string(storage::image_file_system_name(image_file_system_of(request)))};
  make_directories(pools, 0711);
  return plan;
}

PoolPlan plan_of(Engine& engine, const CreatePool& request) {
  if (request.directory && (request.image || request.image_size)) {
    throw Error(ErrorCode::invalid_argument, "a pool is either a directory or an image",
                "give --directory or --image and --image-size, not both");
  }
  if (request.directory) return plan_of_directory(engine, request);
  if (request.image || request.image_size) return plan_of_image(engine, request);
  if (!request.driver || request.driver == "zfs") {
    if (const auto place = storage::place_on_zpool(request.name.text(), engine.paths().pools())) {
      return plan_on_zpool(request.name, *place);
    }
  }
  throw Error(ErrorCode::invalid_argument,
              fmt::format("where shall the pool be? No directory and no size of an image is given, and there is no "
                          "zpool {}",
                          request.name.text()),
              "`pgtwig pool create NAME --directory DIR` or `pgtwig pool create NAME --image-size 20G`");
}

catalog::PoolRecord require_image_pool(Engine& engine, const PoolName& name) {
  const auto record = engine.catalog().find_pool(name);
  if (!record) {
    throw Error(ErrorCode::not_found, fmt::format("pool {} does not exist", name.text()),
                "`pgtwig pool list` shows all");
  }
  if (record->image.empty()) {
    throw Error(ErrorCode::conflict, fmt::format("pool {} is a directory, not an image", name.text()),
                "its file system is yours to grow and trim");
  }
  return *record;
}

}  // namespace

PoolView create_pool(Engine& engine, const CreatePool& request, Listener& listener) {
  const auto lock = engine.locks().acquire({pool_lock(request.name)}, lock_timeout);
  const auto making = engine.pools().lock_making();
  if (engine.catalog().find_pool(request.name)) {
    throw Error(ErrorCode::already_exists, fmt::format("pool {} already exists", request.name.text()),
                fmt::format("`pgtwig pool get {}` shows it", request.name.text()));
  }
  const PoolPlan plan = plan_of(engine, request);
  return engine.operations().run("pool create", request.name.text(), listener, [&](Operation& operation) {
    const catalog::PoolRecord record = make_pool(engine, plan, operation, [&](catalog::Transaction& transaction) {
      operation.record_begin(transaction);
      operation.commit(transaction);
    });
    PoolView view = engine.pools().view(record);
    if (record.driver == "copy") {
      const std::string reason =
          request.driver ? "--driver copy was asked for" : storage::why_copies(record.directory).message();
      view.warnings.push_back(fmt::format("{}: branches in it are plain copies", reason));
    }
    return view;
  });
}

PoolView grow_pool(Engine& engine, const PoolName& name, Bytes size, Listener& listener) {
  const auto lock = engine.locks().acquire({pool_lock(name)}, lock_timeout);
  const catalog::PoolRecord record = require_image_pool(engine, name);
  engine.pools().open(record);
  return engine.operations().run("pool grow", name.text(), listener, [&](Operation& operation) {
    operation.begin();
    operation.step("Grow image", [&] { storage::grow_image(record.image, record.mount_point, size); });
    auto transaction = engine.catalog().begin();
    operation.commit(*transaction);
    return engine.pools().view(record);
  });
}

Bytes trim_pool(Engine& engine, const PoolName& name, Listener& listener) {
  const auto lock = engine.locks().acquire({pool_lock(name)}, lock_timeout);
  const catalog::PoolRecord record = require_image_pool(engine, name);
  engine.pools().open(record);
  return engine.operations().run("pool trim", name.text(), listener, [&](Operation& operation) {
    operation.begin();
    const Bytes trimmed = operation.step("Trim", [&] { return storage::trim(record.mount_point); });
    auto transaction = engine.catalog().begin();
    operation.commit(*transaction);
    return trimmed;
  });
}

}  // namespace pgtwig::engine
