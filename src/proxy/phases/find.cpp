#include <fmt/format.h>

#include "proxy/phases/phases.h"
#include "proxy/route.h"

namespace pgtwig::proxy {
namespace {

class Find final : public Phase {
 public:
  void step(Connection& connection) override {
    if (!has_asked_) {
      has_asked_ = true;
      give_up_at_ = Connection::Clock::now() + connection.limits().find;
      // Another try after the instance went away knows the branch already.
      if (!connection.branch) read_start_up(connection);
      connection.ask_finder(connection.choice);
    }
    const auto answer = connection.take_answer();
    const auto* found = answer ? std::get_if<Finder::Found>(&*answer) : nullptr;
    if (found) {
      connection.woke_it |= found->woke_it;
      connection.branch = found->address.path;
    }
    if (connection.client().is_hung_up()) return connection.end_as_refused();
    if (!answer) return;
    if (found) return connection.enter(make_connect(found->address), connection.limits().connect);
    if (const auto* not_yet = std::get_if<Finder::NotYet>(&*answer)) return wait(connection, not_yet->wait);
    throw std::get<Error>(*answer);
  }

  void on_deadline(Connection& connection) override {
    if (Connection::Clock::now() >= give_up_at_) {
      throw Error(ErrorCode::timed_out, "the branch did not wake up in time", "look at it: pgtwig status");
    }
    connection.give_time(time_left());
    connection.ask_finder(connection.choice);
  }

 private:
  std::chrono::milliseconds time_left() const {
    return std::chrono::ceil<std::chrono::milliseconds>(give_up_at_ - Connection::Clock::now());
  }

  void wait(Connection& connection, std::chrono::milliseconds time) const {
    connection.give_time(std::min(time, time_left()));
  }

  // What the client asked for, less what is for the endpoint alone.
  static void read_start_up(Connection& connection) {
    const ProxyOptions& options = connection.services().options;
    wire::StartUp& start_up = connection.start_up;
    connection.choice = take_route(start_up, connection.server_name, options.rules);
    if (const std::string* user = start_up.find("user"); options.refused_roles.contains(*user)) {
      throw Error(ErrorCode::not_allowed, fmt::format("the role {} is pgtwig's own", *user),
                  "connect as a role of yours: postgres, for example");
    }
    connection.negotiation = negotiate(start_up);
  }

  // Extensions of the protocol that this endpoint doesn't know would change what passes through it.
  static std::optional<wire::Negotiation> negotiate(wire::StartUp& start_up) {
    wire::Negotiation negotiation;
    const bool is_newer = start_up.version > wire::newest_protocol;
    start_up.version = std::min(start_up.version, wire::newest_protocol);
    std::erase_if(start_up.parameters, [&](const auto& parameter) {
      if (!parameter.first.starts_with("_pq_.")) return false;
      negotiation.unknown_options.push_back(parameter.first);
      return true;
    });
    if (!is_newer && negotiation.unknown_options.empty()) return std::nullopt;
    negotiation.version = start_up.version;
    return negotiation;
  }

  bool has_asked_ = false;
  Connection::Clock::time_point give_up_at_;
};

}  // namespace

std::unique_ptr<Phase> make_find() {
  return std::make_unique<Find>();
}

}  // namespace pgtwig::proxy
