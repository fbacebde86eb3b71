#include "engine/ports.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdlib>

#include "base/error.h"
#include "base/fs.h"
#include "engine/view_of.h"

namespace pgtwig::engine {

namespace {

// Below it PostgreSQL, which never runs as root, cannot listen, whoever the daemon is (ip(7),
// ip_unprivileged_port_start).
std::uint16_t first_port_of_postgres() {
  constexpr std::uint16_t usual = 1024;
  const auto text = read_file_if_exists("/proc/sys/net/ipv4/ip_unprivileged_port_start");
  return text ? static_cast<std::uint16_t>(std::strtoul(text->c_str(), nullptr, 10)) : usual;
}

}  // namespace

bool is_port_free(std::uint16_t port) {
  const UniqueFd socket_fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket_fd) throw system_error(errno, "cannot open a socket");
  const int on = 1;  // as PostgreSQL does: a port in TIME_WAIT is free
  ::setsockopt(socket_fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return ::bind(socket_fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

DaemonPorts daemon_ports(const Config& config) {
  const auto is_where_branches_listen = [](const std::string& address) {
    return address == loopback || address == "0.0.0.0" || address == "::";
  };
  DaemonPorts ports;
  if (config.proxy.is_enabled && is_where_branches_listen(config.proxy.listen)) {
    ports.emplace(config.proxy.port, "proxy.port");
  }
  if (config.metrics.is_enabled && is_where_branches_listen(config.metrics.listen)) {
    ports.emplace(config.metrics.port, "metrics.port");
  }
  return ports;
}

Ports::Reservation::~Reservation() {
  if (ports_ == nullptr) return;
  const std::lock_guard lock(ports_->mutex_);
  ports_->reserved_.erase(port_);
}

bool Ports::is_taken(const std::set<std::uint16_t>& used, std::uint16_t port) const {
  return used.contains(port) || reserved_.contains(port) || daemons_.contains(port) || !is_port_free(port);
}

Ports::Reservation Ports::reserve(std::optional<std::uint16_t> wanted) {
  const std::lock_guard lock(mutex_);
  const std::vector<std::uint16_t> list = catalog_.used_ports("local");
  const std::set<std::uint16_t> used(list.begin(), list.end());
  if (wanted) {
    if (const std::uint16_t first = first_port_of_postgres(); *wanted < first) {
      throw Error(
          ErrorCode::not_allowed,
          fmt::format("port {} needs privileges, as all below {} do, and PostgreSQL runs without", *wanted, first),
          fmt::format("choose one from {} up, or leave --port out to get a free one", first));
    }
    if (used.contains(*wanted) || reserved_.contains(*wanted)) {
      throw Error(ErrorCode::already_exists, fmt::format("port {} belongs to another branch", *wanted),
                  "leave --port out to get a free one; `pgtwig branch list` shows all ports");
    }
    if (const auto own = daemons_.find(*wanted); own != daemons_.end()) {
      throw Error(ErrorCode::conflict, fmt::format("port {} is the daemon's own: {}", *wanted, own->second),
                  "leave --port out to get a free one");
    }
    if (!is_port_free(*wanted)) {
      throw Error(ErrorCode::conflict, fmt::format("port {} is taken by another program", *wanted),
                  "leave --port out to get a free one");
    }
    reserved_.insert(*wanted);
    return {*this, *wanted};
  }
  if (next_ < range_.first || next_ > range_.last) {
    next_ = range_.first;
    for (const std::uint16_t port : used) {
      if (port >= next_ && port < range_.last) next_ = port + 1;
    }
  }
  const int count = range_.last - range_.first + 1;
  for (int tried = 0; tried < count; ++tried) {
    const std::uint16_t port = next_;
    next_ = next_ == range_.last ? range_.first : next_ + 1;
    if (is_taken(used, port)) continue;
    reserved_.insert(port);
    return {*this, port};
  }
  throw Error(ErrorCode::no_space, fmt::format("every port from {} to {} is taken", range_.first, range_.last),
              "widen ports.first and ports.last with `pgtwig config set`");
}

}  // namespace pgtwig::engine
