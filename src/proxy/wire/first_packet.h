// What a client says before anything else: PostgreSQL's start-up packets (its documentation, "Message Formats"), parsed
// and written without any I/O. Read by phases/hello.cpp, written by phases/connect.cpp.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pgtwig::proxy::wire {

// MAX_STARTUP_PACKET_LENGTH of PostgreSQL.
inline constexpr std::size_t longest_first_packet = 10'000;
// Length and code: what tells the packets apart.
inline constexpr std::size_t head_size = 8;
// The first byte of a TLS record that begins a handshake: a client that does without SSLRequest.
inline constexpr unsigned char tls_handshake_byte = 0x16;

struct ProtocolVersion {
  std::uint16_t major = 3;
  std::uint16_t minor = 0;
  auto operator<=>(const ProtocolVersion&) const = default;
};
// What this codec knows the messages of.
inline constexpr ProtocolVersion newest_protocol{3, 2};

enum class FirstPacketKind { tls_request, gssenc_request, cancel_request, start_up };

struct PacketHead {
  FirstPacketKind kind;
  std::size_t size;         // of the whole packet with its head
  ProtocolVersion version;  // of a start_up
};
// `head` has head_size bytes. The error is a sentence for the client.
std::expected<PacketHead, std::string> parse_head(std::string_view head);

// Which backend a client means, and the proof that it may: BackendKeyData, and what a CancelRequest repeats.
struct CancelKey {
  std::uint32_t process = 0;
  std::string secret;  // four bytes before protocol 3.2, up to 256 since
  auto operator<=>(const CancelKey&) const = default;
};
inline constexpr std::size_t longest_secret = 256;
std::expected<CancelKey, std::string> parse_cancel_request(std::string_view packet);
std::string write_cancel_request(const CancelKey& key);

struct StartUp {
  ProtocolVersion version = {};
  std::vector<std::pair<std::string, std::string>> parameters = {};  // as sent: the last of a name counts

  const std::string* find(std::string_view name) const;
  void set(std::string_view name, std::string value);
  // Removes all of that name; the value that counted.
  std::optional<std::string> take(std::string_view name);
};
std::expected<StartUp, std::string> parse_start_up(std::string_view packet);
std::string write_start_up(const StartUp& start_up);

// Whether a start-up asks for a connection that replicates a whole cluster, which has no database.
bool is_physical_replication(const StartUp& start_up);

}  // namespace pgtwig::proxy::wire
