// Locks by name: one operation at a time changes a branch; many may read it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace pgtwig {

enum class LockMode { shared, exclusive };

struct LockRequest {
  std::string name;
  LockMode mode;
};

class NamedLocks {
 public:
  class Guard {
   public:
    Guard(Guard&& other) noexcept;
    Guard& operator=(Guard&&) = delete;
    ~Guard();

   private:
    friend class NamedLocks;
    Guard(NamedLocks& locks, std::vector<LockRequest> held) : locks_(&locks), held_(std::move(held)) {}
    NamedLocks* locks_;
    std::vector<LockRequest> held_;
  };

  // Takes all of them, in the order of their names, so that two operations never wait for each other in a circle. A
  // name given twice is taken once, exclusively if either asks for it. Throws Error busy, naming the lock, after
  // `timeout`.
  Guard acquire(std::vector<LockRequest> requests, std::chrono::milliseconds timeout);

 private:
  struct State {
    int shared = 0;
    bool exclusive = false;
    int waiting_exclusive = 0;  // new readers queue behind a writer, so that a writer gets its turn
  };
  // Whether it was had before the deadline.
  bool acquire_one(const LockRequest& request, std::chrono::steady_clock::time_point deadline);
  void release(const std::vector<LockRequest>& held);
  void drop_if_unused(const std::string& name);

  std::mutex mutex_;
  std::condition_variable released_;
  std::map<std::string, State> states_;
};

}  // namespace pgtwig
