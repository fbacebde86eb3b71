#include "proxy/wire/start_up_answer.h"

#include <fmt/format.h>

#include <algorithm>

#include "proxy/wire/bytes.h"

namespace pgtwig::proxy::wire {
namespace {

constexpr std::size_t message_head = 5;  // type and length
// What is held whole; PostgreSQL's own errors, keys and authentication requests are far smaller.
constexpr std::size_t longest_held = 64u << 10;

// A field of an ErrorResponse's body; nullopt when it has none of that type.
std::optional<std::string> error_field(std::string_view body, char wanted) {
  while (!body.empty() && body.front() != '\0') {
    const char type = body.front();
    body.remove_prefix(1);
    const std::size_t end = body.find('\0');
    if (end == body.npos) return std::nullopt;
    if (type == wanted) return std::string(body.substr(0, end));
    body.remove_prefix(end + 1);
  }
  return std::nullopt;
}

}  // namespace

bool StartUpAnswer::is_held(char type) const {
  return type == 'K' || type == 'E' || type == 'R' || type == 'v';
}

std::expected<void, std::string> StartUpAnswer::feed(std::string_view bytes, std::string& out) {
  while (!bytes.empty()) {
    if (is_over_) {
      out += bytes;
      return {};
    }
    if (!in_message_) {
      const std::size_t count = std::min(bytes.size(), message_head - held_.size());
      held_ += bytes.substr(0, count);
      bytes.remove_prefix(count);
      if (held_.size() < message_head) return {};
      if (auto begun = begin_message(out); !begun) return begun;
    }
    const std::size_t count = std::min(bytes.size(), remaining_);
    (holds_ ? held_ : out) += bytes.substr(0, count);
    bytes.remove_prefix(count);
    remaining_ -= count;
    if (remaining_ > 0) return {};
    in_message_ = false;
    if (holds_) {
      if (auto ended = end_held_message(out); !ended) return ended;
      held_.clear();
    }
    is_over_ = is_ready_for_query_;
  }
  return {};
}

std::expected<void, std::string> StartUpAnswer::begin_message(std::string& out) {
  const char type = held_.front();
  const std::size_t length = read_u32(held_, 1);
  if (length < 4 || length > (1u << 30)) return std::unexpected(fmt::format("a message of {} bytes", length));
  if (!first_message_) {
    first_message_ = type;
    // The server that had nothing to negotiate leaves it to the endpoint; an error needs none.
    if (own_ && type != 'v' && type != 'E') out += negotiate_protocol_version(*own_);
  }
  remaining_ = length - 4;
  in_message_ = true;
  holds_ = is_held(type);
  is_ready_for_query_ = type == 'Z';
  if (holds_ && remaining_ > longest_held)
    return std::unexpected(fmt::format("a '{}' message of {} bytes", type, length));
  if (!holds_) {
    out += held_;
    held_.clear();
  }
  return {};
}

std::expected<void, std::string> StartUpAnswer::end_held_message(std::string& out) {
  const std::string_view body = std::string_view(held_).substr(message_head);
  switch (held_.front()) {
    case 'K': {
      if (body.size() < 8 || body.size() > 4 + longest_secret)
        return std::unexpected("a cancel key of no valid length");
      out += backend_key_data(replace_key_({read_u32(body), std::string(body.substr(4))}));
      return {};
    }
    case 'v': {
      if (body.size() < 8) return std::unexpected("a negotiation of the protocol without a version");
      Negotiation negotiation = own_.value_or(Negotiation{});
      const std::uint32_t version = read_u32(body);
      // Some servers say the minor number alone, as the documentation has it.
      negotiation.version =
          std::min(newest_protocol, {version >> 16 ? static_cast<std::uint16_t>(version >> 16) : newest_protocol.major,
                                     static_cast<std::uint16_t>(version & 0xffff)});
      // The options that the server names are those that it was sent: none, as the endpoint kept them.
      out += negotiate_protocol_version(negotiation);
      return {};
    }
    case 'E':
      sqlstate_ = error_field(body, 'C').value_or("");
      break;
    case 'R':
      if (body.size() >= 4 && read_u32(body) == 0) is_authenticated_ = true;
      break;
    default:
      break;
  }
  out += held_;
  return {};
}

}  // namespace pgtwig::proxy::wire
