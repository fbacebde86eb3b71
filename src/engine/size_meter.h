// Sizes of volumes, measured in the background and kept with their age: measuring reads every extent of a volume.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <thread>

#include "base/ids.h"
#include "engine/views.h"

namespace pgtwig::engine {

struct OpenPool;

class SizeMeter {
 public:
  SizeMeter();
  ~SizeMeter();

  // What was last measured; never measures.
  std::optional<SizeView> known(const IncarnationId& volume) const;
  // Measures it unless that was done in the last seconds, and waits for it up to `patience`; then it comes later.
  std::optional<SizeView> measure(const std::shared_ptr<OpenPool>& pool, const IncarnationId& volume,
                                  std::chrono::milliseconds patience);

 private:
  struct Request {
    std::shared_ptr<OpenPool> pool;
    IncarnationId volume;
  };
  void run();

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Request> queue_;
  std::set<IncarnationId> queued_;
  std::map<IncarnationId, SizeView> sizes_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace pgtwig::engine
