// What a server says from a client's start-up to its first ReadyForQuery, on its way to the client: everything passes
// as it is, but for the cancel key, which becomes the endpoint's own, and the negotiation of the protocol, in which the
// endpoint has a say. No I/O: bytes in, bytes out.
#pragma once

#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "proxy/wire/first_packet.h"
#include "proxy/wire/messages.h"

namespace pgtwig::proxy::wire {

class StartUpAnswer {
 public:
  // The key that the client gets for the server's.
  using ReplaceKey = std::function<CancelKey(const CancelKey&)>;

  // `own`: what the endpoint itself did not understand of the start-up, if anything.
  StartUpAnswer(std::optional<Negotiation> own, ReplaceKey replace_key)
      : own_(std::move(own)), replace_key_(std::move(replace_key)) {}

  // Appends to `out` what the client gets. The error says how the server broke the protocol.
  std::expected<void, std::string> feed(std::string_view bytes, std::string& out);

  // The type of the first message; nullopt before it came.
  std::optional<char> first_message() const { return first_message_; }
  // A session is ready: what follows is none of this class's business, and passes.
  bool is_over() const { return is_over_; }
  // The server let the client in.
  bool is_authenticated() const { return is_authenticated_; }
  // Of the ErrorResponse that came, once it is whole.
  const std::optional<std::string>& sqlstate() const { return sqlstate_; }
  // Once the server closed: it turned the client away for who it is, or without a reason; class 28 is PostgreSQL's
  // "invalid authorization specification".
  bool is_refusal() const { return !is_authenticated_ && (!sqlstate_ || sqlstate_->starts_with("28")); }

 private:
  // Messages that are looked at are held until they are whole; others pass as their bytes come.
  bool is_held(char type) const;
  std::expected<void, std::string> begin_message(std::string& out);
  std::expected<void, std::string> end_held_message(std::string& out);

  std::optional<Negotiation> own_;
  ReplaceKey replace_key_;
  std::optional<char> first_message_;
  std::string held_;           // the head of a message, or a whole one that is looked at
  std::size_t remaining_ = 0;  // bytes of the current message that have not come
  bool in_message_ = false;
  bool holds_ = false;
  bool is_ready_for_query_ = false;  // the current message is the last
  bool is_over_ = false;
  bool is_authenticated_ = false;
  std::optional<std::string> sqlstate_;
};

}  // namespace pgtwig::proxy::wire
