// What the connections of all loops share. Each part may be used from any thread.
#pragma once

#include <atomic>
#include <map>
#include <mutex>

#include "base/metrics.h"
#include "proxy/admission.h"
#include "proxy/cancel_keys.h"
#include "proxy/finder.h"
#include "proxy/proxy.h"

namespace pgtwig::proxy {

struct Counters {
  explicit Counters(Metrics& metrics);
  Metrics::Counter& accepted;
  Metrics::Counter& refused;
  Metrics::Counter& sessions;
  Metrics::Counter& cancels;
  Metrics::Counter& bytes_to_instances;
  Metrics::Counter& bytes_to_clients;
  std::atomic<std::size_t> connections = 0;  // now
};

// Sessions that are open, by their branch.
class Sessions {
 public:
  void began(const BranchPath& branch);
  void ended(const BranchPath& branch) noexcept;
  std::map<BranchPath, std::size_t> open();

 private:
  std::mutex mutex_;
  std::map<BranchPath, std::size_t> open_;  // guarded by it
};

struct Services {
  Services(BranchDirectory& directory, Metrics& metrics, ProxyOptions proxy_options)
      : options(std::move(proxy_options)),
        credentials(options.tls),
        admission(options.limits),
        counters(metrics),
        finder(directory, options.limits) {}

  const ProxyOptions options;
  Credentials credentials;
  Admission admission;
  CancelKeys cancel_keys;
  Counters counters;
  Sessions sessions;
  Finder finder;
};

}  // namespace pgtwig::proxy
