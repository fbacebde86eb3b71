#include "proxy/services.h"

namespace pgtwig::proxy {

Counters::Counters(Metrics& metrics)
    : accepted(metrics.counter("pgtwig_endpoint_connections_total", "Connections of clients to the endpoint.")),
      refused(metrics.counter("pgtwig_endpoint_refused_total", "Clients that the endpoint itself told an error.")),
      sessions(metrics.counter("pgtwig_endpoint_sessions_total", "Clients that an instance let in by the endpoint.")),
      cancels(metrics.counter("pgtwig_endpoint_cancels_total", "Cancel requests that were passed on.")),
      bytes_to_instances(
          metrics.counter("pgtwig_endpoint_bytes_total", "Bytes of sessions, by who got them.", {{"to", "instance"}})),
      bytes_to_clients(
          metrics.counter("pgtwig_endpoint_bytes_total", "Bytes of sessions, by who got them.", {{"to", "client"}})) {}

void Sessions::began(const BranchPath& branch) {
  const std::lock_guard lock(mutex_);
  ++open_[branch];
}

void Sessions::ended(const BranchPath& branch) noexcept {
  const std::lock_guard lock(mutex_);
  const auto entry = open_.find(branch);
  if (--entry->second == 0) open_.erase(entry);
}

std::map<BranchPath, std::size_t> Sessions::open() {
  const std::lock_guard lock(mutex_);
  return open_;
}

}  // namespace pgtwig::proxy
