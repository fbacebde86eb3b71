#include "cli/interrupt.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <thread>
#include <utility>

#include "base/error.h"
#include "base/fs.h"

namespace pgtwig::cli {
namespace {

sigset_t only_interrupt() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  return set;
}

bool is_ignored() {
  struct sigaction action{};
  return ::sigaction(SIGINT, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

// So that a shell around us knows that it was Ctrl-C, and stops its loop, too.
[[noreturn]] void end_by_interrupt() {
  ::signal(SIGINT, SIG_DFL);
  const sigset_t interrupt = only_interrupt();
  ::pthread_sigmask(SIG_UNBLOCK, &interrupt, nullptr);
  ::raise(SIGINT);
  ::_exit(128 + SIGINT);
}

// The signal is blocked in every thread that begins from here on, and read from a descriptor.
class SignalWatch final : public InterruptWatch {
 public:
  explicit SignalWatch(OnInterrupt on_interrupt) : on_interrupt_(std::move(on_interrupt)) {
    const sigset_t interrupt = only_interrupt();
    signals_ = UniqueFd(::signalfd(-1, &interrupt, SFD_CLOEXEC | SFD_NONBLOCK));
    end_ = UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!signals_ || !end_) throw system_error(errno, "cannot watch for Ctrl-C");
    ::pthread_sigmask(SIG_BLOCK, &interrupt, &before_);
    watcher_ = std::thread([this] { watch(); });
  }
  ~SignalWatch() override {
    ::eventfd_write(end_.get(), 1);
    watcher_.join();
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

 private:
  void watch() {
    for (int count = 0;;) {
      pollfd entries[] = {{signals_.get(), POLLIN, 0}, {end_.get(), POLLIN, 0}};
      if (::poll(entries, std::size(entries), -1) < 0) {
        if (errno == EINTR) continue;
        return;
      }
      if (entries[1].revents != 0) return;
      signalfd_siginfo info{};
      if (::read(signals_.get(), &info, sizeof info) != sizeof info) continue;
      if (!on_interrupt_(++count)) end_by_interrupt();
    }
  }

  OnInterrupt on_interrupt_;
  UniqueFd signals_;
  UniqueFd end_;
  sigset_t before_{};
  std::thread watcher_;
};

}  // namespace

std::unique_ptr<InterruptWatch> watch_interrupts(OnInterrupt on_interrupt) {
  if (is_ignored()) return nullptr;
  return std::make_unique<SignalWatch>(std::move(on_interrupt));
}

}  // namespace pgtwig::cli
