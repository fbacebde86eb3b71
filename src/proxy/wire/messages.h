// The few messages that the endpoint says itself, to clients (PostgreSQL's documentation, "Message Formats").
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "proxy/wire/first_packet.h"

namespace pgtwig::proxy::wire {

// Answers to SSLRequest and GSSENCRequest.
inline constexpr std::string_view encryption_yes = "S";
inline constexpr std::string_view encryption_no = "N";

struct ErrorFields {
  std::string_view sqlstate;
  std::string_view message;
  std::string_view detail = {};
  std::string_view hint = {};
};
// A FATAL ErrorResponse.
std::string error_response(const ErrorFields& fields);
std::string error_response(const Error& error, std::string_view detail);

// SQLSTATEs that have no ErrorCode, as they are about the protocol and not about pgtwig.
inline constexpr std::string_view protocol_violation = "08P01";
inline constexpr std::string_view too_many_connections = "53300";
// A server that starts, stops or recovers says this instead of asking for a password.
inline constexpr std::string_view cannot_connect_now = "57P03";

// What of a client's wishes isn't understood here.
struct Negotiation {
  ProtocolVersion version = newest_protocol;  // the newest that is
  std::vector<std::string> unknown_options = {};
};
std::string negotiate_protocol_version(const Negotiation& negotiation);

std::string backend_key_data(const CancelKey& key);

}  // namespace pgtwig::proxy::wire
