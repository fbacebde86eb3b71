// What the connections of all loops share. Each part may be used from any thread.
#pragma once

#include <atomic>
#include <map>
#include <mutex>

#include "proxy/admission.h"
#include "proxy/cancel_keys.h"
#include "proxy/finder.h"
#include "proxy/proxy.h"

namespace pgtwig::proxy {

struct Counters {
  std::atomic<std::uint64_t> accepted = 0;
  std::atomic<std::uint64_t> refused = 0;
  std::atomic<std::uint64_t> sessions = 0;
  std::atomic<std::uint64_t> cancels = 0;
  std::atomic<std::uint64_t> bytes_to_instances = 0;
  std::atomic<std::uint64_t> bytes_to_clients = 0;
  std::atomic<std::size_t> connections = 0;
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
  Services(BranchDirectory& directory, ProxyOptions proxy_options)
      : options(std::move(proxy_options)),
        credentials(options.tls),
        admission(options.limits),
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
