#include "proxy/wire/messages.h"

#include "proxy/wire/bytes.h"

namespace pgtwig::proxy::wire {
namespace {

std::string message(char type, std::string_view body) {
  std::string text(1, type);
  append_u32(text, static_cast<std::uint32_t>(body.size() + 4));
  text += body;
  return text;
}

void append_field(std::string& body, char field, std::string_view value) {
  if (value.empty()) return;
  body += field;
  append_text(body, value);
}

}  // namespace

std::string error_response(const ErrorFields& fields) {
  std::string body;
  append_field(body, 'S', "FATAL");
  append_field(body, 'V', "FATAL");
  append_field(body, 'C', fields.sqlstate);
  append_field(body, 'M', fields.message);
  append_field(body, 'D', fields.detail);
  append_field(body, 'H', fields.hint);
  body += '\0';
  return message('E', body);
}

std::string error_response(const Error& error, std::string_view detail) {
  return error_response({.sqlstate = error_code_info(error.code()).sqlstate,
                         .message = error.message(),
                         .detail = detail,
                         .hint = error.hint()});
}

std::string negotiate_protocol_version(const Negotiation& negotiation) {
  std::string body;
  append_u32(body, static_cast<std::uint32_t>(negotiation.version.major) << 16 | negotiation.version.minor);
  append_u32(body, static_cast<std::uint32_t>(negotiation.unknown_options.size()));
  for (const std::string& option : negotiation.unknown_options) append_text(body, option);
  return message('v', body);
}

std::string backend_key_data(const CancelKey& key) {
  std::string body;
  append_u32(body, key.process);
  return message('K', body + key.secret);
}

}  // namespace pgtwig::proxy::wire
