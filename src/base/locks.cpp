// Locks by name.
#include "base/locks.h"

#include <fmt/format.h>

#include <utility>

#include "base/error.h"

namespace pgtwig {

namespace {

// One request a name, in the order of names.
std::vector<LockRequest> in_order(std::vector<LockRequest> requests) {
  std::map<std::string, LockMode> modes;
  for (LockRequest& request : requests) {
    auto [entry, is_new] = modes.emplace(std::move(request.name), request.mode);
    if (!is_new && request.mode == LockMode::exclusive) entry->second = LockMode::exclusive;
  }
  std::vector<LockRequest> ordered;
  for (auto& [name, mode] : modes) ordered.push_back({name, mode});
  return ordered;
}

}  // namespace

NamedLocks::Guard::Guard(Guard&& other) noexcept
    : locks_(std::exchange(other.locks_, nullptr)), held_(std::move(other.held_)) {}

NamedLocks::Guard::~Guard() {
  if (locks_) locks_->release(held_);
}

NamedLocks::Guard NamedLocks::acquire(std::vector<LockRequest> requests, std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  // What is held so far is given back by the guard when a later one can't be had.
  Guard guard(*this, {});
  for (LockRequest& request : in_order(std::move(requests))) {
    guard.held_.reserve(guard.held_.size() + 1);
    if (!acquire_one(request, deadline)) {
      throw Error(ErrorCode::busy, fmt::format("{} is in use by another operation", request.name),
                  "try again when it is done; to see what runs: pgtwig operation list");
    }
    guard.held_.push_back(std::move(request));
  }
  return guard;
}

bool NamedLocks::acquire_one(const LockRequest& request, std::chrono::steady_clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  // The state is looked up each time: it is gone when nobody needed it meanwhile.
  if (request.mode == LockMode::shared) {
    const auto is_free = [&] {
      const auto state = states_.find(request.name);
      return state == states_.end() || (!state->second.exclusive && state->second.waiting_exclusive == 0);
    };
    if (!released_.wait_until(lock, deadline, is_free)) return false;
    ++states_[request.name].shared;
    return true;
  }
  // A state with somebody waiting is never dropped, so that this reference stays good.
  State& state = states_[request.name];
  ++state.waiting_exclusive;
  const bool acquired = released_.wait_until(lock, deadline, [&] { return !state.exclusive && state.shared == 0; });
  --state.waiting_exclusive;
  if (acquired) {
    state.exclusive = true;
    return true;
  }
  drop_if_unused(request.name);
  // Readers that queued behind us may go on.
  released_.notify_all();
  return false;
}

void NamedLocks::release(const std::vector<LockRequest>& held) {
  {
    std::lock_guard lock(mutex_);
    for (const LockRequest& request : held) {
      State& state = states_[request.name];
      if (request.mode == LockMode::exclusive) {
        state.exclusive = false;
      } else {
        --state.shared;
      }
      drop_if_unused(request.name);
    }
  }
  released_.notify_all();
}

void NamedLocks::drop_if_unused(const std::string& name) {
  const auto entry = states_.find(name);
  if (entry == states_.end()) return;
  const State& state = entry->second;
  if (!state.exclusive && state.shared == 0 && state.waiting_exclusive == 0) states_.erase(entry);
}

}  // namespace pgtwig
