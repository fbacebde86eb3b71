#include "proxy/finder.h"

namespace pgtwig::proxy {

Finder::Finder(BranchDirectory& directory, const Limits& limits)
    : directory_(directory), lookups_(limits.lookups_at_once), wakers_(limits.wakes_at_once) {}

void Finder::stop() {
  lookups_.stop();
  wakers_.stop();
}

void Finder::find(const std::optional<BranchChoice>& choice, const std::string& client, OnAnswer on_answer) {
  lookups_.run([this, choice, client, on_answer = std::move(on_answer)] {
    try {
      look_up(choice, client, on_answer);
    } catch (...) {
      on_answer(current_error());
    }
  });
}

void Finder::look_up(const std::optional<BranchChoice>& choice, const std::string& client, const OnAnswer& on_answer) {
  BranchAddress address = directory_.find(choice);
  if (address.is_running) return on_answer(Found{std::move(address)});
  if (join_wake(address.path, on_answer)) return;
  // One that was stopped isn't woken: the attempt only says so, which costs nothing and isn't counted.
  if (!address.is_stopped) {
    const auto wait = wake_limits_.ask(client, address.path, WakeLimits::Clock::now());
    if (wait.count() > 0) return on_answer(NotYet{wait});
  }
  {
    const std::lock_guard lock(mutex_);
    auto& waiting = waking_[address.path];
    waiting.push_back(on_answer);
    if (waiting.size() > 1) return;  // somebody else began in the meantime
  }
  wakers_.run([this, branch = address.path] { wake(branch); });
}

bool Finder::join_wake(const BranchPath& branch, const OnAnswer& on_answer) {
  const std::lock_guard lock(mutex_);
  const auto waiting = waking_.find(branch);
  if (waiting == waking_.end()) return false;
  waiting->second.push_back(on_answer);
  return true;
}

void Finder::wake(const BranchPath& branch) {
  {
    // Who waited may have been told by an earlier wake that failed after it had let its own clients in.
    const std::lock_guard lock(mutex_);
    if (!waking_.contains(branch)) return;
  }
  const auto answer_all = [&](const Answer& answer) {
    std::vector<OnAnswer> waiting;
    {
      const std::lock_guard lock(mutex_);
      if (auto node = waking_.extract(branch)) waiting = std::move(node.mapped());
    }
    for (const OnAnswer& one : waiting) one(answer);
  };
  const auto let_in = [&](const BranchAddress& address) { answer_all(Found{.address = address, .woke_it = true}); };
  try {
    // Who waits goes on as soon as the instance listens. Should the wake fail after all, they lose their connections as
    // at any other end of an instance, and who came since hears of it.
    let_in(directory_.wake(branch, let_in));
  } catch (...) {
    answer_all(current_error());
  }
}

}  // namespace pgtwig::proxy
