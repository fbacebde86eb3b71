// One client, from its connection to its end. What it is doing now is its phase (phases/); what outlives a phase is
// here. All of it happens on the thread of the loop that it was given to.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "proxy/net/channel.h"
#include "proxy/net/event_loop.h"
#include "proxy/pump.h"
#include "proxy/services.h"
#include "proxy/wire/messages.h"

namespace pgtwig::proxy {

class Connection;

class Phase {
 public:
  virtual ~Phase() = default;
  // Does what is possible now. Called when it begins, and when a channel changed. May throw Error, for the client.
  virtual void step(Connection& connection) = 0;
  // Its time is over.
  virtual void on_deadline(Connection& connection) = 0;
};

using ConnectionId = std::uint64_t;

// Whose connection it is: a loop's thread.
class ConnectionOwner {
 public:
  virtual EventLoop& loop() = 0;
  virtual std::span<char> scratch() = 0;
  virtual void remove(ConnectionId id) = 0;
  // Hands an answer to the connection of `client`; when it is gone, it was not let in. From any thread.
  virtual void tell(ConnectionId id, const std::string& client, const Finder::Answer& answer) = 0;

 protected:
  ~ConnectionOwner() = default;
};

class Connection final : public Timed, public Discarded {
 public:
  using Clock = EventLoop::Clock;

  struct Accepted {
    ConnectionId id;
    UniqueFd fd;
    SocketAddress client;
    Admission::Place place;
  };
  Connection(ConnectionOwner& owner, Services& services, Accepted accepted);
  ~Connection() override;

  void begin();
  void on_found(const Finder::Answer& answer);
  void on_deadline() override;
  void on_next_round() override { drive(); }
  // The loop forgets it: it is about to be removed.
  void leave_loop() { owner_.loop().forget(*this, deadline_); }

  // For the phases ------------------------------------------------------------------------------------------------

  Services& services() { return services_; }
  const Limits& limits() const { return services_.options.limits; }
  Channel& client() { return client_; }
  Channel& instance() { return instance_; }
  EventLoop& loop() { return owner_.loop(); }
  std::span<char> scratch() { return owner_.scratch(); }
  const SocketAddress& client_address() const { return client_address_; }
  // "connection 17 from 127.0.0.1, demo/dev": for the log, and as the detail of errors.
  std::string description() const;

  // The phase that calls this returns at once, and is gone soon after.
  void enter(std::unique_ptr<Phase> phase, std::chrono::milliseconds patience);
  void enter(std::unique_ptr<Phase> phase);  // without end
  void give_time(std::chrono::milliseconds patience);
  void go_on_later() { owner_.loop().go_on_later(*this); }
  void open_instance(UniqueFd fd) { instance_.open(owner_.loop(), std::move(fd)); }

  void ask_finder(const std::optional<BranchChoice>& choice);
  std::optional<Finder::Answer> take_answer() { return std::exchange(answer_, std::nullopt); }

  // Tells the client, and closes.
  void fail(const Error& error);
  void fail(std::string_view sqlstate, std::string_view message, std::string_view hint = {});
  // `last_words` go to the client, then both sides are closed.
  void say_goodbye(Direction last_words);
  void end();        // closes both sides
  void break_off();  // closes both sides as broken

  // The server let the client in: it is a session of `branch` now, until the connection ends.
  void begin_session();
  // It wasn't let in: if it woke its branch, it waits before it wakes it again.
  void was_refused();
  // It hung up before it could be let in.
  void end_as_refused();

  // What the first phases find out, and later ones need.
  wire::StartUp start_up;
  std::optional<std::string> server_name;  // by TLS
  std::optional<BranchChoice> choice;
  std::optional<wire::Negotiation> negotiation;
  std::optional<BranchPath> branch;
  bool woke_it = false;
  std::optional<Clock::time_point> unreachable_since;
  std::optional<wire::CancelKey> cancel_key;  // that the client was given

 private:
  void drive();
  void run_phase(void (Connection::*call)());
  void step_phase() { phase_->step(*this); }
  void pass_deadline() { phase_->on_deadline(*this); }

  ConnectionOwner& owner_;
  Services& services_;
  const ConnectionId id_;
  const SocketAddress client_address_;
  const std::string client_host_;
  Admission::Place place_;
  Channel client_;
  Channel instance_;
  std::unique_ptr<Phase> phase_;
  std::vector<std::unique_ptr<Phase>> past_;  // until the call that left them has returned
  bool has_changed_ = false;                  // the phase is new
  bool has_ended_ = false;
  bool is_session_ = false;
  std::optional<Clock::time_point> deadline_;
  std::optional<Finder::Answer> answer_;
};

}  // namespace pgtwig::proxy
