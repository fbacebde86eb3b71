// relay LISTEN-PORT TARGET-PORT: bytes both ways between clients and a server on 127.0.0.1, one epoll loop on each
// core, and nothing else: no protocol, no TLS, no limits. What bench/run measures the endpoint against.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

namespace {

struct Side {
  int fd = -1;
  Side* other = nullptr;
};

sockaddr_in loopback(const char* port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(std::atoi(port)));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

bool send_all(int fd, const char* bytes, std::size_t size) {
  while (size > 0) {
    const ssize_t sent = ::send(fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) {
      bytes += sent;
      size -= static_cast<std::size_t>(sent);
      continue;
    }
    if (errno != EAGAIN) return false;
    pollfd entry{fd, POLLOUT, 0};
    ::poll(&entry, 1, -1);
  }
  return true;
}

void run(int epoll) {
  std::vector<char> buffer(64u << 10);
  std::vector<epoll_event> events(256);
  for (;;) {
    const int count = ::epoll_wait(epoll, events.data(), static_cast<int>(events.size()), -1);
    for (int index = 0; index < count; ++index) {
      auto* side = static_cast<Side*>(events[static_cast<std::size_t>(index)].data.ptr);
      if (side->fd < 0) continue;
      const ssize_t size = ::recv(side->fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (size > 0 && send_all(side->other->fd, buffer.data(), static_cast<std::size_t>(size))) continue;
      if (size < 0 && errno == EAGAIN) continue;
      // The pair is leaked: an event of this round may still name it.
      for (Side* one : {side, side->other}) {
        ::close(one->fd);
        one->fd = -1;
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 64;
  ::signal(SIGPIPE, SIG_IGN);
  const sockaddr_in own = loopback(argv[1]);
  const sockaddr_in target = loopback(argv[2]);
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(listener, reinterpret_cast<const sockaddr*>(&own), sizeof own) != 0 || ::listen(listener, 128) != 0) {
    std::perror("relay");
    return 1;
  }
  std::vector<int> loops;
  for (unsigned core = 0; core < std::max(std::thread::hardware_concurrency(), 1u); ++core) {
    loops.push_back(::epoll_create1(EPOLL_CLOEXEC));
    std::thread(run, loops.back()).detach();
  }
  for (std::size_t next = 0;; ++next) {
    const int client = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    const int server = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (client < 0 || ::connect(server, reinterpret_cast<const sockaddr*>(&target), sizeof target) != 0) continue;
    auto* sides = new Side[2];
    sides[0] = {client, &sides[1]};
    sides[1] = {server, &sides[0]};
    for (std::size_t side = 0; side < 2; ++side) {
      ::setsockopt(sides[side].fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.ptr = &sides[side];
      ::epoll_ctl(loops[next % loops.size()], EPOLL_CTL_ADD, sides[side].fd, &event);
    }
  }
}
