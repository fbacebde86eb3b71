// The metrics, and nothing else, by TCP: for a Prometheus that is not to be let into the API.
#pragma once

#include <memory>

#include "base/tcp.h"

namespace pgtwig::engine {
class Engine;
}

namespace pgtwig::api {

class MetricsServer {
 public:
  // Listens, and answers on threads of its own until it is destroyed. Throws Error conflict when the port is taken.
  MetricsServer(engine::Engine& engine, const SocketAddress& address);
  ~MetricsServer();
  std::uint16_t port() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pgtwig::api
