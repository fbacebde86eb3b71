#include <fmt/format.h>

#include "proxy/phases/phases.h"
#include "proxy/route.h"

namespace pgtwig::proxy {
namespace {

class Connect final : public Phase {
 public:
  explicit Connect(const BranchAddress& address) : address_(make_address(address.host, address.port)) {}

  void step(Connection& connection) override {
    if (connection.client().is_hung_up()) return connection.end_as_refused();
    if (is_waiting_) return;
    if (!connection.instance().is_open() && !begin(connection)) return;
    if (!is_connected_ && !finish_connect(connection)) return;
    if (!send_start_up(connection)) return;
    hear_first_message(connection);
  }

  void on_deadline(Connection& connection) override {
    if (is_waiting_) return connection.enter(make_find(), connection.limits().find);
    throw unreachable(connection, "it does not answer");
  }

 private:
  bool begin(Connection& connection) {
    auto fd = begin_connect(address_);
    if (!fd) {
      try_again(connection, fd.error());
      return false;
    }
    connection.open_instance(std::move(*fd));
    return true;
  }

  bool finish_connect(Connection& connection) {
    if (!connection.instance().is_writable()) return false;
    if (const int error = connect_error(connection.instance().fd()); error != 0) {
      try_again(connection, error);
      return false;
    }
    is_connected_ = true;
    connection.start_up.set(branch_setting, connection.branch->text());
    request_.leftover = wire::write_start_up(connection.start_up);
    if (request_.leftover.size() > wire::longest_first_packet) {
      throw Error(ErrorCode::invalid_argument, "the start-up packet has no space for the branch's name",
                  "give fewer or shorter options");
    }
    answer_ = std::make_unique<wire::StartUpAnswer>(
        connection.negotiation, [&connection, instance = address_](const wire::CancelKey& key) {
          if (!connection.cancel_key) connection.cancel_key = connection.services().cancel_keys.add({instance, key});
          return *connection.cancel_key;
        });
    return true;
  }

  bool send_start_up(Connection& connection) {
    const Io io = flush(connection.instance(), request_);
    if (io == Io::failed) try_again(connection, EPIPE);
    return io == Io::done;
  }

  // An instance that can't take connections now says so instead of asking for a password: it starts, or is about to
  // sleep. Anything else is the client's to hear.
  void hear_first_message(Connection& connection) {
    Channel& instance = connection.instance();
    while (instance.is_readable()) {
      const Transfer read = instance.read(connection.scratch());
      if (read.io == Io::blocked) return;
      if (read.io != Io::done) {
        if (answer_->first_message()) return turn_away(connection);
        return try_again(connection, ECONNRESET);
      }
      if (auto fed = answer_->feed({connection.scratch().data(), read.size}, heard_); !fed) {
        throw Error(ErrorCode::postgres_failed, "the instance broke the protocol: " + fed.error());
      }
      if (!answer_->first_message()) continue;
      if (answer_->first_message() != 'E') {
        connection.unreachable_since.reset();
        return connection.enter(make_authenticate(std::move(answer_), {.leftover = std::move(heard_)}),
                                connection.limits().authenticate);
      }
      if (!answer_->sqlstate()) continue;
      if (*answer_->sqlstate() == wire::cannot_connect_now && may_try_again(connection)) {
        return try_again(connection, ECONNREFUSED);
      }
      return turn_away(connection);
    }
  }

  void turn_away(Connection& connection) {
    if (answer_->is_refusal()) connection.was_refused();
    connection.say_goodbye({.leftover = heard_});
  }

  static bool may_try_again(Connection& connection) {
    const auto now = Connection::Clock::now();
    if (!connection.unreachable_since) connection.unreachable_since = now;
    return now - *connection.unreachable_since < connection.limits().connect;
  }

  // What is known of the branch may be old: it is looked for anew, and woken if it went to sleep.
  void try_again(Connection& connection, int error) {
    if (!may_try_again(connection)) throw unreachable(connection, strerrordesc_np(error));
    connection.instance().close();
    is_waiting_ = true;
    connection.give_time(connection.limits().try_again);
  }

  static Error unreachable(Connection& connection, std::string_view why) {
    const std::string name = connection.branch->text();
    return Error(ErrorCode::postgres_failed, fmt::format("cannot reach the instance of {}: {}", name, why),
                 fmt::format("see what it says: pgtwig branch logs {}", name));
  }

  SocketAddress address_;
  bool is_connected_ = false;
  bool is_waiting_ = false;
  Direction request_;
  std::unique_ptr<wire::StartUpAnswer> answer_;
  std::string heard_;  // for the client, once it is clear that it is for the client
};

}  // namespace

std::unique_ptr<Phase> make_connect(const BranchAddress& address) {
  return std::make_unique<Connect>(address);
}

}  // namespace pgtwig::proxy
