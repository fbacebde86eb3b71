// The one endpoint for all branches: takes PostgreSQL clients, finds the branch that each of them means, wakes it, and
// passes bytes between the two. Passwords pass through untouched; only TLS ends here.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "base/metrics.h"
#include "proxy/branch_directory.h"
#include "proxy/limits.h"
#include "proxy/route.h"
#include "proxy/tls/credentials.h"

namespace pgtwig::proxy {

struct ProxyOptions {
  std::string listen_host = "127.0.0.1";
  std::uint16_t port = 0;  // zero: one that is free
  RouteRules rules = {};
  TlsOptions tls;
  std::set<std::string> refused_roles = {};  // that no client may be
  Limits limits = {};
  std::size_t loops = 0;  // zero: one for each core
};

// As things stand now; what happened is in the metrics.
struct ProxyFigures {
  std::size_t connections = 0;
  std::map<BranchPath, std::size_t> open_sessions = {};
};

class Proxy {
 public:
  // Listens, and serves on threads of its own. Throws Error conflict when the port is taken.
  Proxy(BranchDirectory& directory, Metrics& metrics, ProxyOptions options);
  ~Proxy();  // closes all connections

  std::uint16_t port() const;
  ProxyFigures figures() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pgtwig::proxy
