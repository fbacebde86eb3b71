// Ctrl-C as a call, while something runs that can be asked to stop. Used by request.cpp, through the World.
#pragma once

#include <functional>
#include <memory>

namespace pgtwig::cli {

// `count`: which Ctrl-C it is, from 1. Called on another thread. False: nothing is to be waited for, the process ends
// as Ctrl-C ends one.
using OnInterrupt = std::function<bool(int count)>;

// As long as it lives Ctrl-C is a call and ends nothing.
class InterruptWatch {
 public:
  virtual ~InterruptWatch() = default;
};
using WatchInterrupts = std::function<std::unique_ptr<InterruptWatch>(OnInterrupt)>;

// The real one. Where the process was started with Ctrl-C ignored (in the background) it stays ignored.
std::unique_ptr<InterruptWatch> watch_interrupts(OnInterrupt on_interrupt);

}  // namespace pgtwig::cli
