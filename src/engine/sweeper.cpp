#include "engine/sweeper.h"

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "base/fault.h"
#include "base/fs.h"
#include "base/log.h"
#include "catalog/manifest.h"
#include "engine/archiving.h"
#include "engine/engine.h"
#include "engine/instances.h"
#include "engine/operation.h"
#include "engine/pools.h"

namespace pgtwig::engine {
namespace {

constexpr std::chrono::seconds longest_end_of_instances{10};

// An older catalog that was restored may have a volume as staged that a later one made a branch of. The volume itself
// knows; the copy of a manifest that a fork begins with is of another volume.
bool was_committed(Engine& engine, const OpenPool& pool, const catalog::SweepRecord& volume) {
  const auto file = pool.record.directory / volume.volume.text() / catalog::manifest_file_name;
  const auto text = read_file_if_exists(file);
  const auto manifest = text ? catalog::parse_manifest(*text) : std::unexpected(std::string());
  return manifest && manifest->committed && manifest->installation == engine.catalog().installation() &&
         manifest->branch.incarnation == volume.volume && manifest->identity == pool.driver->identity(volume.volume);
}

// Whatever went wrong before: nothing that the catalog has is ever destroyed.
bool is_in_use(catalog::Catalog& catalog, const IncarnationId& volume) {
  if (catalog.find_snapshot(volume)) return true;
  const auto body = catalog.find_incarnation(volume);
  const auto branch = body ? catalog.find_branch(body->branch) : std::nullopt;
  return branch && branch->incarnation == volume;
}

}  // namespace

Sweeper::Sweeper(Engine& engine) : engine_(engine), thread_([this] { run(); }) {}

Sweeper::~Sweeper() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
  try {
    // What was staged has reached nobody; and to look at it could mount its pool again.
    auto volumes = engine_.catalog().sweep_list();
    std::erase_if(volumes, [](const auto& volume) { return volume.staged; });
    end_instances(volumes);
  } catch (...) {
    log::error("cannot end the instances of what was deleted: {}", describe_current_exception());
  }
}

void Sweeper::begin() {
  end_instances(engine_.catalog().sweep_list());
  enqueue_all();
}

void Sweeper::enqueue(const std::vector<catalog::SweepRecord>& volumes) {
  {
    const std::lock_guard lock(mutex_);
    queue_.insert(queue_.end(), volumes.begin(), volumes.end());
  }
  changed_.notify_all();
}

void Sweeper::destroy_staged(const std::vector<catalog::SweepRecord>& volumes) noexcept {
  for (const catalog::SweepRecord& volume : volumes) {
    try {
      destroy(volume);
    } catch (...) {
      log::error("cannot remove what was staged as {}, will try again: {}", volume.volume.text(),
                 describe_current_exception());
    }
  }
}

void Sweeper::enqueue_all() {
  std::vector<catalog::SweepRecord> volumes;
  for (const catalog::SweepRecord& volume : engine_.catalog().sweep_list()) {
    if (!engine_.operations().is_live(volume.operation)) volumes.push_back(volume);
  }
  enqueue(volumes);
}

void Sweeper::wait_until_idle() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return (queue_.empty() && !busy_) || stopping_; });
}

void Sweeper::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (stopping_) return;
    const catalog::SweepRecord volume = queue_.front();
    queue_.pop_front();
    busy_ = true;
    lock.unlock();
    try {
      destroy(volume);
    } catch (...) {
      log::error("cannot remove volume {}, will try again: {}", volume.volume.text(), describe_current_exception());
    }
    lock.lock();
    busy_ = false;
    changed_.notify_all();
  }
}

// Bounded, as whoever wants this daemon waits for it, and the next daemon for its end.
void Sweeper::end_instances(const std::vector<catalog::SweepRecord>& volumes) {
  const auto deadline = std::chrono::steady_clock::now() + longest_end_of_instances;
  std::size_t left = 0;
  for (const catalog::SweepRecord& volume : volumes) {
    if (is_in_use(engine_.catalog(), volume.volume)) continue;
    const auto pool = engine_.catalog().find_pool(volume.pool);
    if (!pool) continue;
    if (std::chrono::steady_clock::now() > deadline) {
      ++left;
      continue;
    }
    try {
      if (volume.staged && was_committed(engine_, *engine_.pools().open(*pool), volume)) continue;
      engine_.instances().discard(volume, pool->directory);
    } catch (...) {
      log::error("cannot end the instance of volume {}: {}", volume.volume.text(), describe_current_exception());
    }
  }
  if (left > 0) log::warn("{} deleted or replaced volumes may have instances that run on until they are removed", left);
}

// Instance, then volume, then the place on the list: whatever a crash leaves of it is found again by the list. The list
// is asked once more first: a commit that was durable though it reported a failure has taken its volume off.
void Sweeper::destroy(const catalog::SweepRecord& volume) {
  const auto list = engine_.catalog().sweep_list();
  if (std::ranges::none_of(list, [&](const auto& listed) { return listed.volume == volume.volume; })) return;
  if (is_in_use(engine_.catalog(), volume.volume)) {
    log::error("volume {} is to be swept and is a branch's or a snapshot's: it is left alone", volume.volume.text());
    return;
  }
  const std::shared_ptr<OpenPool> pool = engine_.pools().open(volume.pool);
  bool has_history = false;
  if (volume.staged && was_committed(engine_, *pool, volume)) {
    log::error(
        "volume {} in pool {} is staged in this catalog but was a branch's in a later one: it is left alone, unowned; "
        "`pgtwig state rebuild` makes a catalog that has it",
        volume.volume.text(), pool->record.name.text());
  } else {
    engine_.instances().discard(volume, pool->record.directory);
    fault::point("sweep.instance_gone");
    // Of a body whose history is kept, the WAL stays, and with it what its archiver had not come to.
    const auto incarnation = engine_.catalog().find_incarnation(volume.volume);
    has_history = incarnation.has_value();
    if (incarnation) archive_rest(engine_, *pool, *incarnation);
    pool->driver->destroy(volume.volume);
    if (!incarnation) archive_of(*pool, volume.volume).destroy();
    // Not off the list before its end is on disk: a loss of power would bring it back, known to nobody. And Btrfs gives
    // the space back only then.
    sync_pool(*pool);
    fault::point("sweep.volume_gone");
  }
  auto transaction = engine_.catalog().begin();
  // Its branch can have been deleted since the archive was left for its history: then that has to go now.
  if (has_history && !engine_.catalog().find_incarnation(volume.volume)) {
    transaction.reset();
    enqueue({volume});
    return;
  }
  transaction->remove_sweep(volume.volume);
  transaction->commit();
}

}  // namespace pgtwig::engine
