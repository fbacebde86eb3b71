// SIGTERM and SIGINT as a call on an ordinary thread. Used by daemon.cpp.
#pragma once

#include <functional>
#include <thread>

#include "base/fs.h"

namespace pgtwig {

class StopSignal {
 public:
  // From here on the signals are kept; SIGHUP and SIGPIPE are ignored. One object at a time.
  StopSignal();
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  // As if a signal had come.
  void raise();
  // Becomes readable, and stays so, when a signal has come.
  int descriptor() const { return event_.get(); }

 private:
  UniqueFd event_;
};

// Calls `on_stop` on a thread of its own, once, when a signal comes or has come already; not after its destruction.
class StopWatch {
 public:
  StopWatch(const StopSignal& signal, std::function<void()> on_stop);
  ~StopWatch();
  StopWatch(const StopWatch&) = delete;
  StopWatch& operator=(const StopWatch&) = delete;

 private:
  UniqueFd end_;
  std::thread watcher_;
};

}  // namespace pgtwig
