#include "main/stop_signal.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "base/error.h"

namespace pgtwig {
namespace {

// What the handler writes to: the one thing that it may touch.
std::atomic<int> handler_event{-1};

void on_signal(int) {
  int error_before = errno;
  ::eventfd_write(handler_event, 1);
  errno = error_before;
}

void set_handler(int signal, void (*handler)(int)) {
  struct sigaction action{};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  ::sigaction(signal, &action, nullptr);
}

UniqueFd make_event() {
  UniqueFd fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd) throw system_error(errno, "cannot make an event descriptor");
  return fd;
}

}  // namespace

StopSignal::StopSignal() : event_(make_event()) {
  handler_event = event_.get();
  set_handler(SIGTERM, on_signal);
  set_handler(SIGINT, on_signal);
  set_handler(SIGHUP, SIG_IGN);
  set_handler(SIGPIPE, SIG_IGN);
}

StopSignal::~StopSignal() {
  // One more, while the daemon ends, changes nothing.
  set_handler(SIGTERM, SIG_IGN);
  set_handler(SIGINT, SIG_IGN);
}

void StopSignal::raise() {
  ::eventfd_write(event_.get(), 1);
}

StopWatch::StopWatch(const StopSignal& signal, std::function<void()> on_stop) : end_(make_event()) {
  watcher_ = std::thread([stop = signal.descriptor(), end = end_.get(), on_stop = std::move(on_stop)] {
    pollfd entries[] = {{stop, POLLIN, 0}, {end, POLLIN, 0}};
    while (::poll(entries, std::size(entries), -1) < 0 && errno == EINTR) {
    }
    if (entries[0].revents != 0) on_stop();
  });
}

StopWatch::~StopWatch() {
  ::eventfd_write(end_.get(), 1);
  watcher_.join();
}

}  // namespace pgtwig
