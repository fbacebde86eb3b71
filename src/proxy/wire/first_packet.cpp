#include "proxy/wire/first_packet.h"

#include <fmt/format.h>

#include <algorithm>

#include "proxy/wire/bytes.h"

namespace pgtwig::proxy::wire {
namespace {

// Codes that stand where a start-up has its protocol version (PostgreSQL's pqcomm.h).
constexpr std::uint32_t cancel_code = 1234u << 16 | 5678;
constexpr std::uint32_t tls_code = 1234u << 16 | 5679;
constexpr std::uint32_t gssenc_code = 1234u << 16 | 5680;

constexpr std::size_t shortest_secret = 4;

// Cuts the text up to the next zero byte off; nullopt when there is none.
std::optional<std::string> take_text(std::string_view& rest) {
  const std::size_t end = rest.find('\0');
  if (end == rest.npos) return std::nullopt;
  std::string text(rest.substr(0, end));
  rest.remove_prefix(end + 1);
  return text;
}

bool is_true(std::string_view value) {
  static constexpr std::string_view words[] = {"true", "tru", "tr", "t", "yes", "ye", "y", "on", "1"};
  std::string lower(value);
  std::ranges::transform(lower, lower.begin(), [](char letter) {
    return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
  });
  return std::ranges::find(words, lower) != std::end(words);
}

}  // namespace

std::expected<PacketHead, std::string> parse_head(std::string_view head) {
  const std::size_t size = read_u32(head);
  const std::uint32_t code = read_u32(head, 4);
  if (size < head_size || size > longest_first_packet) {
    return std::unexpected(
        fmt::format("a start-up packet has {} to {} bytes, not {}", head_size, longest_first_packet, size));
  }
  if (code == tls_code || code == gssenc_code) {
    if (size != head_size) return std::unexpected("a request for encryption is nothing but its head");
    return PacketHead{code == tls_code ? FirstPacketKind::tls_request : FirstPacketKind::gssenc_request, size, {}};
  }
  if (code == cancel_code) return PacketHead{FirstPacketKind::cancel_request, size, {}};
  return PacketHead{FirstPacketKind::start_up,
                    size,
                    {static_cast<std::uint16_t>(code >> 16), static_cast<std::uint16_t>(code & 0xffff)}};
}

std::expected<CancelKey, std::string> parse_cancel_request(std::string_view packet) {
  constexpr std::size_t fixed = head_size + 4;
  if (packet.size() < fixed + shortest_secret || packet.size() > fixed + longest_secret) {
    return std::unexpected("a CancelRequest carries a key of 4 to 256 bytes");
  }
  return CancelKey{read_u32(packet, head_size), std::string(packet.substr(fixed))};
}

std::string write_cancel_request(const CancelKey& key) {
  std::string packet;
  append_u32(packet, static_cast<std::uint32_t>(head_size + 4 + key.secret.size()));
  append_u32(packet, cancel_code);
  append_u32(packet, key.process);
  return packet + key.secret;
}

const std::string* StartUp::find(std::string_view name) const {
  for (auto entry = parameters.rbegin(); entry != parameters.rend(); ++entry) {
    if (entry->first == name) return &entry->second;
  }
  return nullptr;
}

void StartUp::set(std::string_view name, std::string value) {
  take(name);
  parameters.emplace_back(name, std::move(value));
}

std::optional<std::string> StartUp::take(std::string_view name) {
  const std::string* found = find(name);
  if (!found) return std::nullopt;
  std::string value = *found;
  std::erase_if(parameters, [&](const auto& entry) { return entry.first == name; });
  return value;
}

std::expected<StartUp, std::string> parse_start_up(std::string_view packet) {
  const std::unexpected<std::string> malformed(
      "the start-up packet is malformed: names and values end with a zero "
      "byte each, and the packet with one more");
  StartUp start_up;
  start_up.version = {static_cast<std::uint16_t>(read_u32(packet, 4) >> 16),
                      static_cast<std::uint16_t>(read_u32(packet, 4) & 0xffff)};
  std::string_view rest = packet.substr(head_size);
  for (;;) {
    auto name = take_text(rest);
    if (!name) return malformed;
    if (name->empty()) break;
    auto value = take_text(rest);
    if (!value) return malformed;
    start_up.parameters.emplace_back(std::move(*name), std::move(*value));
  }
  if (!rest.empty()) return malformed;
  return start_up;
}

std::string write_start_up(const StartUp& start_up) {
  std::string body;
  append_u32(body, static_cast<std::uint32_t>(start_up.version.major) << 16 | start_up.version.minor);
  for (const auto& [name, value] : start_up.parameters) {
    append_text(body, name);
    append_text(body, value);
  }
  body += '\0';
  std::string packet;
  append_u32(packet, static_cast<std::uint32_t>(body.size() + 4));
  return packet + body;
}

bool is_physical_replication(const StartUp& start_up) {
  const std::string* value = start_up.find("replication");
  return value && is_true(*value);
}

}  // namespace pgtwig::proxy::wire
