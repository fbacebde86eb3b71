#include "proxy/connection.h"

#include <fmt/format.h>

#include "base/log.h"
#include "proxy/phases/phases.h"

namespace pgtwig::proxy {

Connection::Connection(ConnectionOwner& owner, Services& services, Accepted accepted)
    : owner_(owner),
      services_(services),
      id_(accepted.id),
      client_address_(accepted.client),
      client_host_(accepted.client.host()),
      place_(std::move(accepted.place)),
      client_([this] { drive(); }),
      instance_([this] { drive(); }) {
  client_.open(owner.loop(), std::move(accepted.fd));
  ++services.counters.connections;
}

Connection::~Connection() {
  --services_.counters.connections;
  if (cancel_key) services_.cancel_keys.remove(*cancel_key);
  if (is_session_) services_.sessions.ended(*branch);
}

void Connection::begin() {
  enter(make_hello(), limits().hello);
  drive();
}

void Connection::on_found(const Finder::Answer& answer) {
  answer_ = answer;
  drive();
}

void Connection::on_deadline() {
  deadline_ = std::nullopt;
  run_phase(&Connection::pass_deadline);
  if (has_ended_) return owner_.remove(id_);
  drive();
}

std::string Connection::description() const {
  std::string text = fmt::format("connection {} from {}", id_, client_host_);
  if (branch) text += ", " + branch->text();
  return text;
}

void Connection::enter(std::unique_ptr<Phase> phase, std::chrono::milliseconds patience) {
  enter(std::move(phase));
  give_time(patience);
}

void Connection::enter(std::unique_ptr<Phase> phase) {
  if (phase_) past_.push_back(std::move(phase_));
  phase_ = std::move(phase);
  has_changed_ = true;
  owner_.loop().set_deadline(*this, deadline_, std::nullopt);
}

void Connection::give_time(std::chrono::milliseconds patience) {
  owner_.loop().set_deadline(*this, deadline_, Clock::now() + patience);
}

void Connection::drive() {
  if (has_ended_) return;
  do {
    has_changed_ = false;
    run_phase(&Connection::step_phase);
  } while (has_changed_ && !has_ended_);
  past_.clear();
  if (has_ended_) owner_.remove(id_);
}

// The border at which what goes wrong becomes an answer for the client.
void Connection::run_phase(void (Connection::*call)()) {
  if (has_ended_) return;
  try {
    (this->*call)();
  } catch (...) {
    fail(current_error());
  }
}

void Connection::ask_finder(const std::optional<BranchChoice>& wanted) {
  services_.finder.find(wanted, client_host_,
                        [&owner = owner_, id = id_, client = client_host_](const Finder::Answer& answer) {
                          owner.tell(id, client, answer);
                        });
}

void Connection::fail(const Error& error) {
  if (error_code_info(error.code()).is_our_fault) {
    log::error("endpoint, {}: {}", description(), error.message());
  } else {
    log::info("endpoint, {}: {}", description(), error.message());
  }
  services_.counters.refused.add();
  say_goodbye({.leftover = wire::error_response(error, description())});
}

void Connection::fail(std::string_view sqlstate, std::string_view message, std::string_view hint) {
  log::info("endpoint, {}: {}", description(), message);
  services_.counters.refused.add();
  say_goodbye({.leftover = wire::error_response(
                   {.sqlstate = sqlstate, .message = message, .detail = description(), .hint = hint})});
}

void Connection::say_goodbye(Direction last_words) {
  instance_.close();
  enter(make_farewell(std::move(last_words)), limits().farewell);
}

void Connection::end() {
  client_.close();
  instance_.close();
  has_ended_ = true;
}

void Connection::break_off() {
  client_.reset();
  instance_.reset();
  has_ended_ = true;
}

void Connection::begin_session() {
  is_session_ = true;
  place_.settle();
  services_.counters.sessions.add();
  services_.sessions.began(*branch);
  services_.finder.wake_limits().was_let_in(client_host_, *branch);
  log::debug("endpoint, {}: a session begins", description());
}

void Connection::was_refused() {
  if (woke_it) services_.finder.wake_limits().was_refused(client_host_, *branch, WakeLimits::Clock::now());
}

void Connection::end_as_refused() {
  was_refused();
  end();
}

}  // namespace pgtwig::proxy
