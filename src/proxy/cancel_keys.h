// The cancel keys that clients have got, and the instances' own behind them. An instance's key never leaves this
// machine, and a client's is good for its own session only, whichever instances have backends of the same process id.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>

#include "base/tcp.h"
#include "proxy/wire/first_packet.h"

namespace pgtwig::proxy {

class CancelKeys {
 public:
  struct Target {
    SocketAddress instance;
    wire::CancelKey key;
  };

  // A key of as many bytes as the target's, with the same process id, so that pg_backend_pid() is what clients believe.
  wire::CancelKey add(const Target& target);
  void remove(const wire::CancelKey& key);
  std::optional<Target> find(const wire::CancelKey& key);

 private:
  std::mutex mutex_;
  std::map<wire::CancelKey, Target> targets_;  // guarded by it
};

}  // namespace pgtwig::proxy
