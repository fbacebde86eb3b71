// How many connections there are to each port of this machine, from the kernel's table: no PostgreSQL is asked, so it
// costs the same for one branch as for a thousand.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

namespace pgtwig::engine {

class ConnectionCounter {
 public:
  // Established connections to this port, as they were a second ago at most. The daemon's own, which come by a private
  // socket, are not among them.
  int count(std::uint16_t port);

 private:
  std::mutex mutex_;
  std::map<std::uint16_t, int> counts_;
  std::chrono::steady_clock::time_point counted_at_;
};

// By the local port of each established connection in a table as /proc/net/tcp has it.
std::map<std::uint16_t, int> count_by_port(std::string_view table);

}  // namespace pgtwig::engine
