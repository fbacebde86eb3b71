#include "api/socket_stream.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/error.hpp>
#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace pgtwig::api {
namespace {

boost::system::error_code last_error() {
  return {errno, boost::system::system_category()};
}

struct Address {
  sockaddr_un data{};
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&data); }
};

Address address_of(const std::filesystem::path& path) {
  Address address;
  address.data.sun_family = AF_UNIX;
  if (path.native().size() >= sizeof address.data.sun_path) {
    throw Error(ErrorCode::invalid_argument, fmt::format("the socket path {} is too long", path.string()),
                "choose a shorter PGTWIG_ROOT or PGTWIG_SOCKET");
  }
  std::memcpy(address.data.sun_path, path.c_str(), path.native().size() + 1);
  return address;
}

UniqueFd open_socket() {
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) throw system_error(errno, "cannot open a socket");
  return fd;
}

}  // namespace

bool SocketStream::wait_for(short events, std::optional<Clock::time_point> deadline, boost::system::error_code& error) {
  std::optional<Clock::time_point> end = deadline;
  if (timeout_.count() > 0) {
    Clock::time_point own_end = Clock::now() + timeout_;
    if (!end || own_end < *end) end = own_end;
  }
  for (;;) {
    int patience = -1;
    if (end) {
      auto left = std::chrono::ceil<std::chrono::milliseconds>(*end - Clock::now());
      if (left.count() <= 0) {
        error = boost::asio::error::timed_out;
        return false;
      }
      patience = static_cast<int>(left.count());
    }
    pollfd poll_entry{fd_.get(), events, 0};
    int ready = ::poll(&poll_entry, 1, patience);
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) {
      error = last_error();
      return false;
    }
  }
}

std::size_t SocketStream::receive(void* data, std::size_t size, boost::system::error_code& error) {
  for (;;) {
    if (!wait_for(POLLIN, read_deadline_, error)) return 0;
    ssize_t count = ::recv(fd_.get(), data, size, MSG_DONTWAIT);
    if (count > 0) {
      error = {};
      return static_cast<std::size_t>(count);
    }
    if (count == 0) {
      error = boost::asio::error::eof;
      return 0;
    }
    if (errno != EINTR && errno != EAGAIN) {
      error = last_error();
      return 0;
    }
  }
}

std::size_t SocketStream::send(std::span<iovec> parts, boost::system::error_code& error) {
  error = {};
  if (parts.empty()) return 0;
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  for (;;) {
    ssize_t count = ::sendmsg(fd_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count >= 0) return static_cast<std::size_t>(count);
    if (errno == EAGAIN) {
      if (!wait_for(POLLOUT, write_deadline_, error)) return 0;
    } else if (errno != EINTR) {
      error = last_error();
      return 0;
    }
  }
}

std::optional<UniqueFd> connect_unix_socket(const std::filesystem::path& path) {
  Address address = address_of(path);
  UniqueFd fd = open_socket();
  while (::connect(fd.get(), address.get(), sizeof address.data) != 0) {
    if (errno == EINTR) continue;
    if (errno == ENOENT || errno == ENOTDIR || errno == ECONNREFUSED) return std::nullopt;
    if (errno == EACCES || errno == EPERM) {
      throw Error(ErrorCode::not_allowed, fmt::format("you may not use the pgtwig daemon at {}", path.string()),
                  "ask the administrator to put you into the group pgtwig, or use an installation of your own: "
                  "PGTWIG_ROOT=~/pgtwig pgtwig ...");
    }
    throw system_error(errno, fmt::format("cannot connect to {}", path.string()));
  }
  return fd;
}

UniqueFd listen_on_unix_socket(const std::filesystem::path& path, std::optional<gid_t> group) {
  if (connect_unix_socket(path)) {
    throw Error(ErrorCode::conflict, fmt::format("another pgtwig daemon listens on {}", path.string()),
                "use it, or stop it with: pgtwig daemon stop");
  }
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
    throw system_error(errno, fmt::format("cannot remove the old socket {}", path.string()));
  }
  Address address = address_of(path);
  UniqueFd fd = open_socket();
  // Linux gives the file the mode of the socket's own inode: it is private from its first moment.
  if (::fchmod(fd.get(), 0600) != 0) throw system_error(errno, "cannot make the socket private");
  if (::bind(fd.get(), address.get(), sizeof address.data) != 0 || ::listen(fd.get(), SOMAXCONN) != 0) {
    throw system_error(errno, fmt::format("cannot listen on {}", path.string()));
  }
  if (group) {
    if (::chown(path.c_str(), static_cast<uid_t>(-1), *group) != 0 || ::chmod(path.c_str(), 0660) != 0) {
      throw system_error(errno, fmt::format("cannot open {} to its group", path.string()));
    }
  }
  return fd;
}

}  // namespace pgtwig::api
