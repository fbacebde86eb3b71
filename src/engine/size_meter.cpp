#include "engine/size_meter.h"

#include "base/error.h"
#include "base/log.h"
#include "engine/pools.h"

namespace pgtwig::engine {
namespace {

// A size as old as this is measured again when somebody asks.
constexpr std::chrono::seconds fresh_for{5};
// Sizes remembered; when more volumes than this have been asked for, all are forgotten and measured again.
constexpr std::size_t most_sizes = 20'000;

}  // namespace

SizeMeter::SizeMeter() : thread_([this] { run(); }) {}

SizeMeter::~SizeMeter() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

std::optional<SizeView> SizeMeter::known(const IncarnationId& volume) const {
  const std::lock_guard lock(mutex_);
  const auto found = sizes_.find(volume);
  return found == sizes_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<SizeView> SizeMeter::measure(const std::shared_ptr<OpenPool>& pool, const IncarnationId& volume,
                                           std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  const auto is_fresh = [&] {
    const auto found = sizes_.find(volume);
    return found != sizes_.end() && SystemClock().now() - found->second.measured_at < fresh_for;
  };
  if (!is_fresh()) {
    if (queued_.insert(volume).second) queue_.push_back({pool, volume});
    changed_.notify_all();
    changed_.wait_for(lock, patience, [&] { return stopping_ || !queued_.contains(volume); });
  }
  const auto found = sizes_.find(volume);
  return found == sizes_.end() ? std::nullopt : std::optional(found->second);
}

void SizeMeter::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (stopping_) return;
    const Request request = queue_.front();
    queue_.pop_front();
    lock.unlock();
    std::optional<SizeView> size;
    try {
      const storage::VolumeUsage usage = request.pool->driver->usage(request.volume);
      size = SizeView{.logical_bytes = usage.logical,
                      .unique_bytes = usage.unique,
                      .shared_bytes = usage.shared,
                      .measured_at = SystemClock().now()};
    } catch (...) {
      log::info("cannot measure volume {}: {}", request.volume.text(), describe_current_exception());
    }
    lock.lock();
    if (sizes_.size() >= most_sizes) sizes_.clear();
    if (size) sizes_.insert_or_assign(request.volume, *size);
    queued_.erase(request.volume);
    changed_.notify_all();
  }
}

}  // namespace pgtwig::engine
