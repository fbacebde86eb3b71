// TCP sockets by numeric address, IPv4 or IPv6.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <expected>
#include <string>

#include "base/fs.h"

namespace pgtwig {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;

  std::string host() const;  // "127.0.0.1"; an IPv4 address that came by IPv6 is one
  std::uint16_t port() const;
  bool is_loopback() const;
};

// Throws Error invalid_argument when `host` is no numeric address.
SocketAddress make_address(const std::string& host, std::uint16_t port);
// Waits a moment for a taken port: that of a killed process is free a little later than its locks. Throws Error
// conflict when it stays taken.
UniqueFd listen_on(const SocketAddress& address);
// Begins to connect: the socket becomes writable when it is connected, or failed. What fails at once is an errno.
std::expected<UniqueFd, int> begin_connect(const SocketAddress& address);
// What became of a connect: zero, or its errno.
int connect_error(int fd);
// No waiting for more to send, and an eye on clients that vanished.
void set_session_options(int fd);
SocketAddress local_address(int fd);

}  // namespace pgtwig
