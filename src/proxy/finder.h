// Finds the instance that a client wants, and wakes it when it sleeps: on threads of its own, as both can block.
// However many clients wait for a branch, one thread wakes it.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <variant>
#include <vector>

#include "base/error.h"
#include "proxy/branch_directory.h"
#include "proxy/limits.h"
#include "proxy/wake_limits.h"
#include "proxy/workers.h"

namespace pgtwig::proxy {

class Finder {
 public:
  struct Found {
    BranchAddress address;
    bool woke_it = false;  // it slept, and this client was one who had it woken
  };
  // Who asked must ask again after a while.
  struct NotYet {
    std::chrono::milliseconds wait;
  };
  using Answer = std::variant<Found, NotYet, Error>;
  using OnAnswer = std::function<void(const Answer&)>;

  Finder(BranchDirectory& directory, const Limits& limits);

  // `on_answer` is called once, on a thread of the finder, unless the finder ends before.
  void find(const std::optional<BranchChoice>& choice, const std::string& client, OnAnswer on_answer);
  // Waits for what is under way; nobody is answered after that.
  void stop();
  WakeLimits& wake_limits() { return wake_limits_; }

 private:
  void look_up(const std::optional<BranchChoice>& choice, const std::string& client, const OnAnswer& on_answer);
  // Whether a wake of that branch is under way, which `on_answer` waits for now.
  bool join_wake(const BranchPath& branch, const OnAnswer& on_answer);
  void wake(const BranchPath& branch);

  BranchDirectory& directory_;
  WakeLimits wake_limits_;
  std::mutex mutex_;
  std::map<BranchPath, std::vector<OnAnswer>> waking_;  // guarded by it
  Workers lookups_;
  Workers wakers_;
};

}  // namespace pgtwig::proxy
