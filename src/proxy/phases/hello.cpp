#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "proxy/phases/phases.h"

namespace pgtwig::proxy {
namespace {

class Hello final : public Phase {
 public:
  void step(Connection& connection) override {
    if (is_shaking_hands_ && !shake_hands(connection)) return;
    // The packets are read to their last byte and no further: what comes after one may be TLS, or the server's.
    while (collect(connection)) {
      const wire::PacketHead head = *head_;
      const std::string packet = std::move(packet_);
      packet_.clear();
      head_.reset();
      if (!answer(connection, head, packet)) return;
    }
  }

  void on_deadline(Connection& connection) override {
    connection.fail(wire::protocol_violation, "the endpoint waited too long for a start-up packet");
  }

 private:
  // Whether a whole packet is there. When not, there may be nothing more to do here at all.
  bool collect(Connection& connection) {
    Channel& client = connection.client();
    if (!client.is_tls() && packet_.empty() && !begins_in_plain(connection)) return false;
    while (packet_.size() < wanted()) {
      if (!client.is_readable()) return false;
      const std::size_t size = std::min(wanted() - packet_.size(), connection.scratch().size());
      const Transfer read = client.read(connection.scratch().first(size));
      if (read.io == Io::blocked) return false;
      if (read.io != Io::done) {
        connection.end();
        return false;
      }
      packet_.append(connection.scratch().data(), read.size);
      if (!head_ && packet_.size() == wire::head_size) {
        const auto head = wire::parse_head(packet_);
        if (!head) {
          connection.fail(wire::protocol_violation, head.error());
          return false;
        }
        head_ = *head;
      }
    }
    return true;
  }

  std::size_t wanted() const { return head_ ? head_->size : wire::head_size; }

  // A client of PostgreSQL 17 or later may begin with TLS at once.
  bool begins_in_plain(Connection& connection) {
    if (asked_for_tls_ || asked_for_gssenc_) return true;
    char first = 0;
    const Transfer peeked = connection.client().peek({&first, 1});
    if (peeked.io == Io::blocked) return false;
    if (peeked.io != Io::done) {
      connection.end();
      return false;
    }
    if (static_cast<unsigned char>(first) != wire::tls_handshake_byte) return true;
    is_direct_ = true;
    begin_tls(connection);
    return false;
  }

  void begin_tls(Connection& connection) {
    asked_for_tls_ = true;
    is_shaking_hands_ = true;
    connection.client().begin_tls(*connection.services().credentials.context());
    connection.go_on_later();
  }

  // Whether TLS is there.
  bool shake_hands(Connection& connection) {
    Channel& client = connection.client();
    const Io io = client.shake_hands();
    if (io == Io::blocked) return false;
    if (io != Io::done) {
      // Whoever can't speak TLS with us can't read an error either.
      log::info("endpoint, {}: the TLS handshake failed", connection.description());
      connection.end();
      return false;
    }
    is_shaking_hands_ = false;
    if (const char* name = SSL_get_servername(client.tls(), TLSEXT_NAMETYPE_host_name)) connection.server_name = name;
    const unsigned char* protocol = nullptr;
    unsigned int size = 0;
    SSL_get0_alpn_selected(client.tls(), &protocol, &size);
    if (is_direct_ && size == 0) {
      connection.fail(wire::protocol_violation, "a direct TLS connection has to name its protocol by ALPN: postgresql");
      return false;
    }
    return true;
  }

  // Whether another packet is to be read.
  bool answer(Connection& connection, const wire::PacketHead& head, const std::string& packet) {
    switch (head.kind) {
      case wire::FirstPacketKind::tls_request:
        if (asked_for_tls_) break;
        say(connection, wire::encryption_yes);
        begin_tls(connection);
        return false;
      case wire::FirstPacketKind::gssenc_request:
        if (asked_for_gssenc_) break;
        asked_for_gssenc_ = true;
        say(connection, wire::encryption_no);
        return true;
      case wire::FirstPacketKind::cancel_request:
        if (const auto key = wire::parse_cancel_request(packet)) {
          connection.enter(make_cancel(*key), connection.limits().cancel);
        } else {
          connection.fail(wire::protocol_violation, key.error());
        }
        return false;
      case wire::FirstPacketKind::start_up:
        begin(connection, head, packet);
        return false;
    }
    connection.fail(wire::protocol_violation, "encryption was asked for twice");
    return false;
  }

  static void say(Connection& connection, std::string_view byte) {
    const Transfer written = connection.client().write(byte);
    // The first byte to a new connection always has space.
    if (written.io != Io::done) throw Error(ErrorCode::internal, "cannot write to a new connection");
  }

  static void begin(Connection& connection, const wire::PacketHead& head, const std::string& packet) {
    if (head.version.major != wire::newest_protocol.major) {
      return connection.fail(error_code_info(ErrorCode::not_available).sqlstate,
                             fmt::format("protocol {}.{} is not spoken here, but 3.0 to {}.{} are", head.version.major,
                                         head.version.minor, wire::newest_protocol.major, wire::newest_protocol.minor));
    }
    auto start_up = wire::parse_start_up(packet);
    if (!start_up) return connection.fail(wire::protocol_violation, start_up.error());
    connection.start_up = std::move(*start_up);
    if (!connection.client().is_tls() && !connection.client_address().is_loopback()) {
      throw Error(ErrorCode::not_allowed, "from another machine this endpoint is reached with TLS only",
                  "connect with sslmode=require, or better verify-full");
    }
    connection.enter(make_find(), connection.limits().find);
  }

  std::string packet_;
  std::optional<wire::PacketHead> head_;
  bool asked_for_tls_ = false;
  bool asked_for_gssenc_ = false;
  bool is_direct_ = false;
  bool is_shaking_hands_ = false;
};

}  // namespace

std::unique_ptr<Phase> make_hello() {
  return std::make_unique<Hello>();
}

}  // namespace pgtwig::proxy
