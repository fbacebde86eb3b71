// What Ctrl-C does while a change is under way: asks the daemon to cancel the operation, whose end is then waited for;
// the second one leaves it alone and ends this program. Used by request.cpp.
#pragma once

#include <mutex>
#include <string>

#include "cli/render/progress.h"
#include "cli/session.h"

namespace pgtwig::cli {

class Cancellation {
 public:
  // `is_sent`: the whole request is with the daemon already; of a half-sent one nothing comes, and Ctrl-C may just end
  // this program.
  Cancellation(Session& session, Progress& progress, bool is_sent);

  // From the operation's stream: tells its id.
  void on_event(const engine::Event& event);
  // On any thread; what it returns is for InterruptWatch.
  bool on_interrupt(int count);

 private:
  void ask(const std::string& operation);

  Session& session_;
  Progress& progress_;
  const bool is_sent_;
  std::mutex mutex_;  // guards the rest
  std::string operation_;
  bool is_wanted_ = false;
};

}  // namespace pgtwig::cli
