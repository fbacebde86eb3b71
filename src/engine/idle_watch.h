// Suspends branches that nobody has used for as long as is set for them, on a thread of its own: a shutdown can take
// its time, and other housekeeping doesn't wait for it.
//
// A branch is looked at a few times in the time that it may be unused, and one without such a time never. So it sleeps
// at the latest a quarter of that time after it could have.
#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

#include "engine/body.h"

namespace pgtwig::engine {

class IdleWatch {
 public:
  explicit IdleWatch(Engine& engine) : engine_(engine) {}
  ~IdleWatch();

  void begin();
  // Finishes what it is doing; after that nothing is suspended any more.
  void end();

 private:
  using Clock = std::chrono::steady_clock;
  struct Watched {
    pid_t server;
    std::chrono::seconds after;
    Clock::time_point used_at;
    Clock::time_point look_at;
    // As of the last look; sessions without our own.
    std::int64_t sessions = 0;
    std::string marks = {};
    bool was_looked_at = false;
  };
  void run();
  // When something may be due next.
  Clock::time_point look_around();
  void look(const Body& body, Watched& watched);
  // Asks the server; says whether it has been unused for long enough.
  bool is_unused(const Body& body, Watched& watched);

  Engine& engine_;
  std::map<IncarnationId, Watched> watched_;  // of its thread alone
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace pgtwig::engine
