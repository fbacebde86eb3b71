#include "engine/wakes.h"

#include <algorithm>
#include <thread>

namespace pgtwig::engine {
namespace {

// A start keeps a core busy: more of them at once make each slower, take more memory, and let nobody in earlier.
unsigned most_at_once() {
  return std::max(2U, std::thread::hardware_concurrency());
}
constexpr std::chrono::seconds patience_for_a_turn{30};

}  // namespace

BranchAddress Wakes::share(const BranchPath& path, const std::function<BranchAddress()>& wake) {
  std::unique_lock lock(mutex_);
  const auto [at, is_first] = under_way_.try_emplace(path, std::make_shared<Wake>());
  const std::shared_ptr<Wake> shared = at->second;
  if (is_first) {
    lock.unlock();
    Outcome outcome = [&]() -> Outcome {
      try {
        return wake();
      } catch (...) {
        return current_error();
      }
    }();
    lock.lock();
    shared->outcome = std::move(outcome);
    under_way_.erase(path);
    changed_.notify_all();
  } else {
    changed_.wait(lock, [&] { return shared->outcome.has_value(); });
  }
  // A copy for each: an error is added to on its way up.
  const Outcome outcome = *shared->outcome;
  lock.unlock();
  if (const auto* error = std::get_if<Error>(&outcome)) throw Error(*error);
  return std::get<BranchAddress>(outcome);
}

Wakes::Turn::Turn(Wakes& wakes) : wakes_(wakes) {
  std::unique_lock lock(wakes_.mutex_);
  wakes_.changed_.wait_for(lock, patience_for_a_turn, [this] { return wakes_.starting_ < most_at_once(); });
  ++wakes_.starting_;
}

Wakes::Turn::~Turn() {
  const std::lock_guard lock(wakes_.mutex_);
  --wakes_.starting_;
  wakes_.changed_.notify_all();
}

}  // namespace pgtwig::engine
