// A bounded number of threads for what blocks, started when there is something to do.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace pgtwig::proxy {

class Workers {
 public:
  explicit Workers(std::size_t most) : most_(most) {}
  ~Workers() { stop(); }
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  // `work` doesn't throw. The queue is as long as its callers let it become: each connection waits for one thing.
  void run(std::function<void()> work);
  // What has begun is finished, what has not is dropped, and nothing more is taken.
  void stop();

 private:
  void work_until_stopped();

  const std::size_t most_;
  std::mutex mutex_;  // guards the rest
  std::condition_variable changed_;
  std::deque<std::function<void()>> queue_;
  std::size_t idle_ = 0;
  bool is_stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace pgtwig::proxy
