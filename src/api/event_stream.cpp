#include "api/event_stream.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <cerrno>
#include <deque>
#include <mutex>
#include <utility>

#include "api/json.h"

namespace pgtwig::api {
namespace {

// Of one client. A client that is this far behind is told so and dropped, rather than held in memory for ever.
constexpr std::size_t queue_limit = 4096;

class EventQueue {
 public:
  EventQueue() : filled_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!filled_) throw system_error(errno, "cannot make an event descriptor");
  }

  // Becomes readable when there is something to take.
  int descriptor() const { return filled_.get(); }

  void push(const engine::Event& event) {
    std::lock_guard lock(mutex_);
    if (events_.size() < queue_limit) {
      events_.push_back(event);
    } else {
      is_overflown_ = true;
    }
    ::eventfd_write(filled_.get(), 1);
  }

  // Throws Error busy when events had to be left out.
  std::deque<engine::Event> take() {
    std::lock_guard lock(mutex_);
    eventfd_t count = 0;
    ::eventfd_read(filled_.get(), &count);
    if (is_overflown_) throw Error(ErrorCode::busy, "events are read more slowly than they happen", "connect again");
    return std::exchange(events_, {});
  }

 private:
  UniqueFd filled_;
  std::mutex mutex_;
  std::deque<engine::Event> events_;
  bool is_overflown_ = false;
};

}  // namespace

void stream_events(engine::EventBus& bus, Responder& responder, int stop_event) {
  EventQueue queue;
  auto subscription = bus.subscribe([&queue](const engine::Event& event) { queue.push(event); });
  // An empty line: the answer begins at once, so that the client knows that it misses nothing from here on.
  if (!responder.send_line("\n")) return;
  for (;;) {
    pollfd entries[] = {
        {queue.descriptor(), POLLIN, 0}, {stop_event, POLLIN, 0}, {responder.socket(), POLLIN | POLLRDHUP, 0}};
    if (::poll(entries, std::size(entries), -1) < 0) {
      if (errno == EINTR) continue;
      throw system_error(errno, "cannot wait for events");
    }
    if (entries[0].revents != 0) {
      for (const engine::Event& event : queue.take()) {
        if (!responder.send_line(event_line(event))) return;
      }
    }
    // Whatever a client says in the middle of its answer, it is not listening any more.
    if (entries[1].revents != 0 || entries[2].revents != 0) return;
  }
}

}  // namespace pgtwig::api
