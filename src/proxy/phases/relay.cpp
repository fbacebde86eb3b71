#include "base/log.h"
#include "proxy/phases/phases.h"

namespace pgtwig::proxy {
namespace {

class Relay final : public Phase {
 public:
  Relay(Direction to_instance, Direction to_client)
      : to_instance_(std::move(to_instance)), to_client_(std::move(to_client)) {}

  void step(Connection& connection) override {
    const Pumped up = pump(connection.client(), connection.instance(), to_instance_, connection.scratch());
    const Pumped down = pump(connection.instance(), connection.client(), to_client_, connection.scratch());
    count(connection);
    // A side that broke is broken for the other one too, so that an instance doesn't work on for a client that is gone.
    // An instance that takes nothing more may have said why, which is on its way down.
    if (up == Pumped::source_failed || down == Pumped::source_failed || down == Pumped::target_failed) {
      log::debug("endpoint, {}: broken off", connection.description());
      return connection.break_off();
    }
    if (up == Pumped::target_failed) to_instance_ = {.is_finished = true};
    // PostgreSQL never closes one direction alone: what it said last has been said to the client too.
    if (down == Pumped::finished) return connection.say_goodbye(std::move(to_client_));
    if (up == Pumped::more || down == Pumped::more) connection.go_on_later();
  }

  void on_deadline(Connection&) override {}  // it has none

 private:
  void count(Connection& connection) {
    Counters& counters = connection.services().counters;
    if (to_instance_.bytes > 0) counters.bytes_to_instances.add(to_instance_.bytes);
    if (to_client_.bytes > 0) counters.bytes_to_clients.add(to_client_.bytes);
    to_instance_.bytes = to_client_.bytes = 0;
  }

  Direction to_instance_;
  Direction to_client_;
};

}  // namespace

std::unique_ptr<Phase> make_relay(Direction to_instance, Direction to_client) {
  return std::make_unique<Relay>(std::move(to_instance), std::move(to_client));
}

}  // namespace pgtwig::proxy
