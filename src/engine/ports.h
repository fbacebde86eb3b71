// Ports of branches: each its own, on the loopback address only.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "base/config.h"
#include "catalog/catalog.h"

namespace pgtwig::engine {

// The daemon's own ports where branches listen, with the settings that say so: proxy.port, metrics.port.
using DaemonPorts = std::map<std::uint16_t, std::string_view>;
DaemonPorts daemon_ports(const Config& config);

class Ports {
 public:
  // `daemons` are those that the daemon itself listens on, or would: no branch is given one.
  Ports(catalog::Catalog& catalog, PortRange range, DaemonPorts daemons)
      : catalog_(catalog), range_(range), daemons_(std::move(daemons)) {}

  // A port that no other operation is given until this ends.
  class Reservation {
   public:
    Reservation(Reservation&& other) noexcept : ports_(other.ports_), port_(other.port_) { other.ports_ = nullptr; }
    Reservation& operator=(Reservation&&) = delete;
    ~Reservation();
    std::uint16_t port() const { return port_; }

   private:
    friend class Ports;
    Reservation(Ports& ports, std::uint16_t port) : ports_(&ports), port_(port) {}
    Ports* ports_;
    std::uint16_t port_;
  };

  // `wanted`, or the next free one of the range. Throws Error already_exists when `wanted` belongs to another branch,
  // conflict when somebody else listens there or the daemon would, no_space when the range is used up.
  Reservation reserve(std::optional<std::uint16_t> wanted);

 private:
  bool is_taken(const std::set<std::uint16_t>& used, std::uint16_t port) const;

  catalog::Catalog& catalog_;
  const PortRange range_;
  const DaemonPorts daemons_;
  std::mutex mutex_;
  std::set<std::uint16_t> reserved_;
  // Ports go round instead of filling gaps: a client of a branch that was just deleted must not find another branch
  // there.
  std::uint16_t next_ = 0;
};

// Whether nobody listens on 127.0.0.1:port now.
bool is_port_free(std::uint16_t port);

}  // namespace pgtwig::engine
