// Both ends of the endpoint in tests of it: an instance that says what the test wants, and a client by bytes.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/tcp.h"
#include "proxy/wire/bytes.h"
#include "proxy/wire/first_packet.h"

namespace pgtwig::proxy::support {

inline constexpr int patience_ms = 20'000;

// A blocking socket that gives up after a while.
class Peer {
 public:
  explicit Peer(UniqueFd fd) : fd_(std::move(fd)) {
    const timeval patience{.tv_sec = patience_ms / 1000, .tv_usec = 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  }
  static Peer connect(std::uint16_t port) {
    const SocketAddress address = make_address("127.0.0.1", port);
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address.storage), address.size), 0);
    return Peer(std::move(fd));
  }

  int fd() const { return fd_.get(); }
  // Whether all was taken.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t size = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (size <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(size));
    }
    return true;
  }
  // Up to `size` bytes; fewer at the end.
  std::string read(std::size_t size) {
    std::string bytes;
    char chunk[64 << 10];
    while (bytes.size() < size) {
      const ssize_t count = ::recv(fd_.get(), chunk, std::min(sizeof chunk, size - bytes.size()), 0);
      if (count <= 0) {
        last_error_ = count < 0 ? errno : 0;
        break;
      }
      bytes.append(chunk, static_cast<std::size_t>(count));
    }
    return bytes;
  }
  std::string read_all() { return read(std::string::npos); }
  int last_error() const { return last_error_; }
  std::string read_start_up() {
    std::string packet = read(4);
    return packet.size() < 4 ? packet : packet + read(wire::read_u32(packet) - 4);
  }
  void end_writing() { ::shutdown(fd_.get(), SHUT_WR); }
  void reset() {
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    fd_.reset();
  }
  void close() { fd_.reset(); }

 private:
  UniqueFd fd_;
  int last_error_ = 0;
};

inline std::string number(std::uint32_t value) {
  std::string text;
  wire::append_u32(text, value);
  return text;
}

inline std::string message(char type, const std::string& body) {
  return type + number(static_cast<std::uint32_t>(body.size() + 4)) + body;
}

// What an instance says that lets a client in.
inline const wire::CancelKey real_key{42, "real"};
inline std::string welcome() {
  return message('R', number(0)) + message('K', number(real_key.process) + real_key.secret) + message('Z', "I");
}

// Serves each connection on a thread of its own by `script`.
class ScriptedInstance {
 public:
  using Script = std::function<void(Peer&)>;
  explicit ScriptedInstance(Script script)
      : script_(std::move(script)), listener_(listen_on(make_address("127.0.0.1", 0))) {
    acceptor_ = std::thread([this] {
      pollfd entry{listener_.get(), POLLIN, 0};
      while (!is_stopping_) {
        if (::poll(&entry, 1, 20) <= 0) continue;
        const int fd = ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
        if (fd < 0) continue;
        ++connections_;
        threads_.emplace_back([this, fd] {
          Peer peer{UniqueFd(fd)};
          script_(peer);
        });
      }
    });
  }
  ~ScriptedInstance() {
    is_stopping_ = true;
    acceptor_.join();
    for (std::thread& thread : threads_) thread.join();
  }
  std::uint16_t port() const { return local_address(listener_.get()).port(); }
  int connections() const { return connections_; }

 private:
  Script script_;
  UniqueFd listener_;
  std::atomic<bool> is_stopping_ = false;
  std::atomic<int> connections_ = 0;
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

}  // namespace pgtwig::proxy::support
