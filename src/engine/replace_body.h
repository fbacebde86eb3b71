// A branch gets a new body in place of its old one, as reset and restore do: with the same name, port, password and
// settings. The old one lives until the new one has taken its place.
#pragma once

#include <optional>

#include "engine/body.h"

namespace pgtwig::engine {

// The body that is going to replace `old`, before its volume is made.
Body planned_replacement(Engine& engine, const Body& old);

struct Replacement {
  const Body& old;
  Body& fresh;  // its volume is made, it does not run
  catalog::IncarnationRecord incarnation;
  bool has_same_password = false;  // as the catalog has it for the branch
  // What was there becomes this snapshot, its volume included, so that it can be had back; absent: it is destroyed.
  std::optional<catalog::SnapshotRecord> keep_old_as = {};
};
// Stops the old instance, commits, starts the new one on its port. When that fails it is taken back, and the old one
// runs again.
void replace_body(Engine& engine, Operation& operation, Replacement replacement);

}  // namespace pgtwig::engine
