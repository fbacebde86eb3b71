#include "proxy/pump.h"

namespace pgtwig::proxy {
namespace {

// How often one direction reads before others have their turn.
constexpr int reads_a_turn = 16;

// Writes as much as is taken; keeps the rest.
Io deliver(Channel& target, Direction& direction, std::string_view bytes) {
  while (!bytes.empty()) {
    const Transfer written = target.is_writable() ? target.write(bytes) : Transfer{Io::blocked};
    if (written.io == Io::blocked) {
      direction.leftover = bytes;
      direction.leftover_at = 0;
      return Io::blocked;
    }
    if (written.io != Io::done) return Io::failed;
    direction.bytes += written.size;
    bytes.remove_prefix(written.size);
  }
  return Io::done;
}

}  // namespace

Io flush(Channel& target, Direction& direction) {
  while (direction.has_leftover()) {
    if (!target.is_writable()) return Io::blocked;
    const Transfer written = target.write(std::string_view(direction.leftover).substr(direction.leftover_at));
    if (written.io != Io::done) return written.io;
    direction.bytes += written.size;
    direction.leftover_at += written.size;
  }
  direction.leftover = {};
  direction.leftover_at = 0;
  return Io::done;
}

Pumped pump(Channel& source, Channel& target, Direction& direction, std::span<char> scratch) {
  for (int turn = 0; turn < reads_a_turn; ++turn) {
    if (direction.has_leftover()) {
      const Io flushed = flush(target, direction);
      if (flushed == Io::blocked) return Pumped::idle;
      if (flushed != Io::done) return Pumped::target_failed;
    }
    if (direction.is_finished) return Pumped::finished;
    if (direction.source_ended) {
      const Io finished = target.finish();
      if (finished == Io::blocked) return Pumped::idle;
      if (finished != Io::done) return Pumped::target_failed;
      direction.is_finished = true;
      return Pumped::finished;
    }
    if (!source.is_readable()) return Pumped::idle;
    const Transfer read = source.read(scratch);
    if (read.io == Io::blocked) return Pumped::idle;
    if (read.io == Io::failed) return Pumped::source_failed;
    if (read.io == Io::ended) {
      direction.source_ended = true;
      continue;
    }
    if (deliver(target, direction, {scratch.data(), read.size}) == Io::failed) return Pumped::target_failed;
  }
  return Pumped::more;
}

}  // namespace pgtwig::proxy
