#include "proxy/workers.h"

namespace pgtwig::proxy {

void Workers::stop() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
    queue_.clear();
  }
  changed_.notify_all();
  // Nobody adds one any more.
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void Workers::run(std::function<void()> work) {
  const std::lock_guard lock(mutex_);
  if (is_stopping_) return;
  queue_.push_back(std::move(work));
  if (queue_.size() > idle_ && threads_.size() < most_) threads_.emplace_back([this] { work_until_stopped(); });
  changed_.notify_one();
}

void Workers::work_until_stopped() {
  std::unique_lock lock(mutex_);
  for (;;) {
    ++idle_;
    changed_.wait(lock, [&] { return is_stopping_ || !queue_.empty(); });
    --idle_;
    if (is_stopping_) return;
    const std::function<void()> work = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    work();
    lock.lock();
  }
}

}  // namespace pgtwig::proxy
