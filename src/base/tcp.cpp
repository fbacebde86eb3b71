#include "base/tcp.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "base/error.h"

namespace pgtwig {
namespace {

constexpr int waiting_connections = 1'024;
constexpr std::chrono::milliseconds port_patience{500};
constexpr std::chrono::milliseconds pause_between_tries{10};

const sockaddr* as_address(const SocketAddress& address) {
  return reinterpret_cast<const sockaddr*>(&address.storage);
}

const sockaddr_in& as_ipv4(const SocketAddress& address) {
  return reinterpret_cast<const sockaddr_in&>(address.storage);
}

const sockaddr_in6& as_ipv6(const SocketAddress& address) {
  return reinterpret_cast<const sockaddr_in6&>(address.storage);
}

UniqueFd make_socket(const SocketAddress& address) {
  UniqueFd fd(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) throw system_error(errno, "cannot make a socket");
  return fd;
}

void set_flag(int fd, int level, int option) {
  const int on = 1;
  ::setsockopt(fd, level, option, &on, sizeof on);
}

}  // namespace

std::string SocketAddress::host() const {
  char text[INET6_ADDRSTRLEN] = "";
  if (storage.ss_family == AF_INET) {
    ::inet_ntop(AF_INET, &as_ipv4(*this).sin_addr, text, sizeof text);
  } else if (IN6_IS_ADDR_V4MAPPED(&as_ipv6(*this).sin6_addr)) {
    ::inet_ntop(AF_INET, as_ipv6(*this).sin6_addr.s6_addr + 12, text, sizeof text);
  } else {
    ::inet_ntop(AF_INET6, &as_ipv6(*this).sin6_addr, text, sizeof text);
  }
  return text;
}

std::uint16_t SocketAddress::port() const {
  return ntohs(storage.ss_family == AF_INET ? as_ipv4(*this).sin_port : as_ipv6(*this).sin6_port);
}

bool SocketAddress::is_loopback() const {
  const std::string text = host();
  return text.starts_with("127.") || text == "::1";
}

SocketAddress make_address(const std::string& host, std::uint16_t port) {
  SocketAddress address;
  auto& ipv4 = reinterpret_cast<sockaddr_in&>(address.storage);
  auto& ipv6 = reinterpret_cast<sockaddr_in6&>(address.storage);
  if (::inet_pton(AF_INET, host.c_str(), &ipv4.sin_addr) == 1) {
    ipv4.sin_family = AF_INET;
    ipv4.sin_port = htons(port);
    address.size = sizeof ipv4;
  } else if (::inet_pton(AF_INET6, host.c_str(), &ipv6.sin6_addr) == 1) {
    ipv6.sin6_family = AF_INET6;
    ipv6.sin6_port = htons(port);
    address.size = sizeof ipv6;
  } else {
    throw Error(ErrorCode::invalid_argument, fmt::format("'{}' is no numeric address", host), "for example 127.0.0.1");
  }
  return address;
}

UniqueFd listen_on(const SocketAddress& address) {
  const auto deadline = std::chrono::steady_clock::now() + port_patience;
  const std::string place = fmt::format("{} port {}", address.host(), address.port());
  for (;;) {
    UniqueFd fd = make_socket(address);
    set_flag(fd.get(), SOL_SOCKET, SO_REUSEADDR);
    if (::bind(fd.get(), as_address(address), address.size) == 0 && ::listen(fd.get(), waiting_connections) == 0) {
      return fd;
    }
    if (errno != EADDRINUSE) throw system_error(errno, fmt::format("cannot listen on {}", place));
    if (std::chrono::steady_clock::now() > deadline) {
      throw Error(ErrorCode::conflict, fmt::format("somebody listens on {} already", place));
    }
    std::this_thread::sleep_for(pause_between_tries);
  }
}

std::expected<UniqueFd, int> begin_connect(const SocketAddress& address) {
  UniqueFd fd = make_socket(address);
  set_session_options(fd.get());
  if (::connect(fd.get(), as_address(address), address.size) != 0 && errno != EINPROGRESS) {
    return std::unexpected(errno);
  }
  return fd;
}

int connect_error(int fd) {
  int error = 0;
  socklen_t size = sizeof error;
  return ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
}

void set_session_options(int fd) {
  set_flag(fd, IPPROTO_TCP, TCP_NODELAY);
  set_flag(fd, SOL_SOCKET, SO_KEEPALIVE);
}

SocketAddress local_address(int fd) {
  SocketAddress address;
  address.size = sizeof address.storage;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address.storage), &address.size) != 0) {
    throw system_error(errno, "cannot ask for a socket's address");
  }
  return address;
}

}  // namespace pgtwig
