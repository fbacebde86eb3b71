// Moves bytes from one channel to the other, no faster than the other takes them: what it didn't take is kept, and
// nothing more is read before that is gone. So an idle connection holds no buffer at all, and a busy one at most one.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "proxy/net/channel.h"

namespace pgtwig::proxy {

// Each loop has one piece of scratch space of this size, for all of its connections.
inline constexpr std::size_t scratch_size = 64u << 10;

struct Direction {
  std::string leftover = {};    // read, and not taken yet
  std::size_t leftover_at = 0;  // its part that was taken
  bool source_ended = false;
  bool is_finished = false;  // the target knows that there is no more
  std::uint64_t bytes = 0;   // that the target took

  bool has_leftover() const { return leftover_at < leftover.size(); }
};

enum class Pumped {
  idle,           // until one of the channels changes
  more,           // its turn is over, though there is more
  finished,       // all is said
  source_failed,  // the connection broke
  target_failed,
};

Pumped pump(Channel& source, Channel& target, Direction& direction, std::span<char> scratch);
// Only what is left over.
Io flush(Channel& target, Direction& direction);

}  // namespace pgtwig::proxy
