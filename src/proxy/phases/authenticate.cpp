#include <fmt/format.h>

#include "proxy/phases/phases.h"

namespace pgtwig::proxy {
namespace {

class Authenticate final : public Phase {
 public:
  Authenticate(std::unique_ptr<wire::StartUpAnswer> answer, Direction to_client)
      : answer_(std::move(answer)), to_client_(std::move(to_client)) {}

  void step(Connection& connection) override {
    if (!hear(connection)) return;
    const Pumped pumped = pump(connection.client(), connection.instance(), to_instance_, connection.scratch());
    // What the instance says before it closes is heard by the next step.
    if (pumped == Pumped::target_failed) to_instance_ = {.is_finished = true};
    if (pumped == Pumped::source_failed) return leave(connection);
    if (pumped == Pumped::more) connection.go_on_later();
  }

  void on_deadline(Connection& connection) override {
    connection.was_refused();
    throw Error(ErrorCode::timed_out, "the authentication took too long");
  }

 private:
  // Passes on what the instance says. False when the phase is over.
  bool hear(Connection& connection) {
    for (;;) {
      const Io flushed = flush(connection.client(), to_client_);
      if (flushed == Io::blocked) return true;
      if (flushed != Io::done) return leave(connection), false;
      if (answer_->is_over()) return begin_session(connection), false;
      if (!connection.instance().is_readable()) return true;
      const Transfer read = connection.instance().read(connection.scratch());
      if (read.io == Io::blocked) return true;
      if (read.io != Io::done) return be_turned_away(connection), false;
      if (auto fed = answer_->feed({connection.scratch().data(), read.size}, to_client_.leftover); !fed) {
        throw Error(ErrorCode::postgres_failed, "the instance broke the protocol: " + fed.error());
      }
    }
  }

  void begin_session(Connection& connection) {
    connection.begin_session();
    connection.enter(make_relay(std::move(to_instance_), std::move(to_client_)));
  }

  // The instance closed: it said why, or the client had hung up.
  void be_turned_away(Connection& connection) {
    if (answer_->is_refusal()) connection.was_refused();
    connection.say_goodbye(std::move(to_client_));
  }

  // The client went, before it had shown that it may come in.
  void leave(Connection& connection) {
    if (!answer_->is_authenticated()) connection.was_refused();
    connection.end();
  }

  std::unique_ptr<wire::StartUpAnswer> answer_;
  Direction to_instance_;
  Direction to_client_;
};

}  // namespace

std::unique_ptr<Phase> make_authenticate(std::unique_ptr<wire::StartUpAnswer> answer, Direction to_client) {
  return std::make_unique<Authenticate>(std::move(answer), std::move(to_client));
}

}  // namespace pgtwig::proxy
