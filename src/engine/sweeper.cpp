#include "engine/sweeper.h"

#include <algorithm>

#include "base/error.h"
#include "base/fault.h"
#include "base/fs.h"
#include "base/log.h"
#include "engine/engine.h"
#include "engine/housekeeping.h"
#include "engine/instances.h"
#include "engine/operation.h"
#include "engine/pools.h"

namespace pgtwig::engine {

Sweeper::Sweeper(Engine& engine) : engine_(engine), thread_([this] { run(); }) {}

Sweeper::~Sweeper() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
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
      log::error("cannot remove what was staged as {}, will try again at the next start: {}", volume.volume.text(),
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
      log::error("cannot remove volume {}, will try again at the next start: {}", volume.volume.text(),
                 describe_current_exception());
    }
    lock.lock();
    busy_ = false;
    changed_.notify_all();
  }
}

// Instance, then volume, then the place on the list: whatever a crash leaves of it is found again by the list. The list
// is asked once more first: a commit that was durable though it reported a failure has taken its volume off.
void Sweeper::destroy(const catalog::SweepRecord& volume) {
  const auto list = engine_.catalog().sweep_list();
  if (std::ranges::none_of(list, [&](const auto& listed) { return listed.volume == volume.volume; })) return;
  const std::shared_ptr<OpenPool> pool = engine_.pools().open(volume.pool);
  engine_.instances().discard(volume, *pool);
  fault::point("sweep.instance_gone");
  pool->driver->destroy(volume.volume);
  fault::point("sweep.volume_gone");
  // Btrfs gives the space back once the deletion is committed, which would else take half a minute.
  engine_.housekeeping().sync_soon(pool);
  auto transaction = engine_.catalog().begin();
  transaction->remove_sweep(volume.volume);
  transaction->commit();
}

}  // namespace pgtwig::engine
