// The one endpoint for all branches: takes PostgreSQL clients, finds the branch that each of them means, wakes it, and
// passes bytes between the two. Passwords pass through untouched; only TLS ends here.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>

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

struct ProxyFigures {
  std::uint64_t accepted = 0;
  std::uint64_t refused = 0;   // those that were told an error of the endpoint's own
  std::uint64_t sessions = 0;  // that there have been
  std::uint64_t cancels = 0;
  std::uint64_t wakes = 0;
  std::uint64_t bytes_to_instances = 0;
  std::uint64_t bytes_to_clients = 0;
  std::size_t connections = 0;                           // now
  std::map<BranchPath, std::size_t> open_sessions = {};  // now
};

class Proxy {
 public:
  // Listens, and serves on threads of its own. Throws Error conflict when the port is taken.
  Proxy(BranchDirectory& directory, ProxyOptions options);
  ~Proxy();  // closes all connections

  std::uint16_t port() const;
  ProxyFigures figures() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pgtwig::proxy
