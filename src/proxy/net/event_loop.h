// One thread's loop: readiness of sockets by epoll (edge-triggered), deadlines, and work that other threads hand over.
// All but post() and stop() are for the loop's own thread.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include "base/fs.h"

namespace pgtwig::proxy {

class Watched {
 public:
  // `events` as epoll says them.
  virtual void on_ready(std::uint32_t events) = 0;

 protected:
  ~Watched() = default;
};

// Something that has one deadline at most, and is asked to go on in the next round.
class Timed {
 public:
  virtual void on_deadline() = 0;
  virtual void on_next_round() = 0;

 protected:
  ~Timed() = default;
};

// What is removed must outlive the round: events of it may have been fetched already.
class Discarded {
 public:
  virtual ~Discarded() = default;
};

class EventLoop {
 public:
  using Clock = std::chrono::steady_clock;

  EventLoop();  // throws Error
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  void run();   // until stop()
  void stop();  // from any thread
  // Runs `work` on the loop's thread, in its next round. From any thread.
  void post(std::function<void()> work);

  // Until the descriptor is closed.
  void watch(int fd, Watched& watched);
  // nullopt: none any more.
  void set_deadline(Timed& timed, std::optional<Clock::time_point>& current, std::optional<Clock::time_point> deadline);
  void go_on_later(Timed& timed) { next_round_.push_back(&timed); }
  void discard(std::unique_ptr<Discarded> discarded) { discarded_.push_back(std::move(discarded)); }
  // It is being removed: no deadline or next round of it is kept.
  void forget(Timed& timed, std::optional<Clock::time_point>& current);

 private:
  int wait_time() const;  // for epoll_wait
  void run_posted();
  void run_deadlines();
  void run_next_round();

  UniqueFd epoll_;
  UniqueFd wake_up_;
  std::atomic<bool> is_stopping_ = false;
  std::mutex posted_mutex_;
  std::vector<std::function<void()>> posted_;  // guarded by it
  std::set<std::pair<Clock::time_point, Timed*>> deadlines_;
  std::vector<Timed*> next_round_;
  std::vector<Timed*> this_round_;
  std::vector<std::unique_ptr<Discarded>> discarded_;
};

}  // namespace pgtwig::proxy
