// How much of this machine clients can hold, and for how long: what every phase is bounded by.
#pragma once

#include <chrono>
#include <cstddef>

namespace pgtwig::proxy {

struct Limits {
  // All connections: twice as many descriptors, which main/ asks the system for.
  std::size_t connections = 12'000;
  // Half of them at most for one address, so that one machine can't keep all others out.
  std::size_t connections_of_address = 6'000;
  // Those that have not been let in by a server yet: the ones that cost a stranger nothing.
  std::size_t starting = 2'000;
  std::size_t starting_of_address = 1'000;

  // From the connection to the end of its start-up packet, TLS included.
  std::chrono::milliseconds hello{10'000};
  // Until its branch is found, and awake.
  // Two hundred that are woken at once take two slow cores a minute; a start that fails after two tells why.
  std::chrono::milliseconds find{130'000};
  // Until the instance, which runs, says its first word.
  std::chrono::milliseconds connect{15'000};
  // PostgreSQL's authentication_timeout is a minute by default; the instance speaks first where it is shorter.
  std::chrono::milliseconds authenticate{75'000};
  // How long a client may take to read the end and to hang up.
  std::chrono::milliseconds farewell{5'000};
  // How long an instance may take to hear a CancelRequest.
  std::chrono::milliseconds cancel{10'000};
  // What a wrong cancel key costs: with it, trying them all takes longer than any session lives.
  std::chrono::milliseconds wrong_cancel{1'000};
  // Before an instance that can't take connections now is asked again.
  std::chrono::milliseconds try_again{50};

  // Threads that wait for branches to start; each start is a process and some disk.
  std::size_t wakes_at_once = 8;
  // Threads that look branches up.
  std::size_t lookups_at_once = 2;
};

}  // namespace pgtwig::proxy
