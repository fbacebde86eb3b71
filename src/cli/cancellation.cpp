#include "cli/cancellation.h"

#include <fmt/format.h>

#include "base/error.h"

namespace pgtwig::cli {

Cancellation::Cancellation(Session& session, Progress& progress, bool is_sent)
    : session_(session), progress_(progress), is_sent_(is_sent) {
  session.paths();  // found here, not later on another thread
}

void Cancellation::on_event(const engine::Event& event) {
  bool is_wanted = false;
  {
    const std::lock_guard lock(mutex_);
    if (!operation_.empty() || event.operation.empty()) return;
    operation_ = event.operation;
    is_wanted = is_wanted_;
  }
  if (is_wanted) ask(event.operation);
}

bool Cancellation::on_interrupt(int count) {
  std::string operation;
  {
    const std::lock_guard lock(mutex_);
    operation = operation_;
    is_wanted_ = true;
  }
  if (operation.empty() && !is_sent_) return false;
  if (count > 1) {
    progress_.say(operation.empty() ? "Left: it goes on by itself; see `pgtwig operation list`"
                                    : fmt::format("Left: it ends by itself; see `pgtwig operation get {}`", operation));
    return false;
  }
  if (operation.empty()) {
    progress_.say("Cancelling as soon as it has begun; Ctrl-C again leaves it to itself");
  } else {
    progress_.say("Cancelling; Ctrl-C again leaves it to itself");
    ask(operation);
  }
  return true;
}

// Over a connection of its own: the other one is busy with the operation's events.
void Cancellation::ask(const std::string& operation) {
  try {
    session_.world()
        .connect(session_.paths(), {.start_daemon = false, .on_notice = {}})
        ->request("DELETE", "/v1/operations/" + client::encode_segment(operation));
  } catch (const Error& error) {
    progress_.say(fmt::format("It is not cancelled: {}", error.message()));
  }
}

}  // namespace pgtwig::cli
