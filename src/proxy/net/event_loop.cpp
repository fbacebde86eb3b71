#include "proxy/net/event_loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "base/error.h"

namespace pgtwig::proxy {
namespace {

constexpr int events_a_round = 256;

}  // namespace

EventLoop::EventLoop() : epoll_(::epoll_create1(EPOLL_CLOEXEC)), wake_up_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!epoll_ || !wake_up_) throw system_error(errno, "cannot make an event loop");
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = nullptr;  // the loop itself
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_up_.get(), &event) != 0) {
    throw system_error(errno, "cannot make an event loop");
  }
}

void EventLoop::run() {
  epoll_event events[events_a_round];
  while (!is_stopping_) {
    const int count = ::epoll_wait(epoll_.get(), events, events_a_round, wait_time());
    if (count < 0 && errno != EINTR) throw system_error(errno, "cannot wait for events");
    for (int index = 0; index < count; ++index) {
      if (auto* watched = static_cast<Watched*>(events[index].data.ptr)) {
        watched->on_ready(events[index].events);
      } else {
        run_posted();
      }
    }
    if (!next_round_.empty()) run_next_round();
    if (!deadlines_.empty()) run_deadlines();
    discarded_.clear();
  }
}

void EventLoop::stop() {
  is_stopping_ = true;
  ::eventfd_write(wake_up_.get(), 1);
}

void EventLoop::post(std::function<void()> work) {
  {
    const std::lock_guard lock(posted_mutex_);
    posted_.push_back(std::move(work));
  }
  ::eventfd_write(wake_up_.get(), 1);
}

void EventLoop::watch(int fd, Watched& watched) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.ptr = &watched;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) throw system_error(errno, "cannot watch a socket");
}

void EventLoop::set_deadline(Timed& timed, std::optional<Clock::time_point>& current,
                             std::optional<Clock::time_point> deadline) {
  if (current) deadlines_.erase({*current, &timed});
  current = deadline;
  if (current) deadlines_.emplace(*current, &timed);
}

void EventLoop::forget(Timed& timed, std::optional<Clock::time_point>& current) {
  set_deadline(timed, current, std::nullopt);
  std::erase(next_round_, &timed);
  std::ranges::replace(this_round_, &timed, nullptr);
}

int EventLoop::wait_time() const {
  if (!next_round_.empty()) return 0;
  if (deadlines_.empty()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadlines_.begin()->first - Clock::now()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, INT_MAX));
}

void EventLoop::run_posted() {
  eventfd_t count = 0;
  ::eventfd_read(wake_up_.get(), &count);
  std::vector<std::function<void()>> work;
  {
    const std::lock_guard lock(posted_mutex_);
    work.swap(posted_);
  }
  for (const auto& one : work) one();
}

void EventLoop::run_deadlines() {
  const auto now = Clock::now();
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    Timed* timed = deadlines_.begin()->second;
    const auto before = deadlines_.begin()->first;
    timed->on_deadline();
    // One that neither ended nor got more time has had its turn.
    deadlines_.erase({before, timed});
  }
}

void EventLoop::run_next_round() {
  this_round_.swap(next_round_);
  for (std::size_t index = 0; index < this_round_.size(); ++index) {
    if (this_round_[index]) this_round_[index]->on_next_round();
  }
  this_round_.clear();
}

}  // namespace pgtwig::proxy
