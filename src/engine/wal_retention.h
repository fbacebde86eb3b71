// Which archived WAL of a project may go, and its removal: on demand by `wal cleanup`, and by housekeeping, which also
// forgets bodies that have ended and from which nothing can be recovered any more.
#pragma once

#include <optional>
#include <vector>

#include "archive/lineage.h"
#include "engine/engine.h"
#include "engine/pools.h"
#include "engine/views.h"

namespace pgtwig::engine {

class WalRetention {
 public:
  WalRetention(Engine& engine, const catalog::ProjectRecord& project) : engine_(engine), project_(project) {}

  // What nothing needs that the promised window begins with; `older_than`: only what was complete before.
  archive::RetentionPlan plan(std::optional<TimePoint> older_than) const;
  // Removes it, of one branch or of all, and counts it in `view`; only counts it on a dry run.
  void apply(const archive::RetentionPlan& plan, const std::optional<BranchId>& branch, WalCleanupView& view) const;
  // Ended bodies that have no restore point and that no other's lineage needs, once their time in the promised window
  // is over or nothing of them can be recovered: the records go, and with the sweeper their archives.
  void forget_bodies() const;
  // Of all bodies that the catalog has a record of.
  std::vector<archive::Lineage> lineages() const;

 private:
  Engine& engine_;
  const catalog::ProjectRecord& project_;
};

// Where a pool has less free than archives leave to others, the oldest archived WAL of all its branches goes: an
// archive that is not written any more does not make room by itself. Returns how many segments went.
int make_room_in(Engine& engine, const OpenPool& pool);

}  // namespace pgtwig::engine
