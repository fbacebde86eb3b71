// Which snapshots recovery needs and which automatic ones have had their time: arithmetic over the catalog's records,
// without a file or a clock.
#pragma once

#include <set>
#include <vector>

#include "archive/lineage.h"
#include "base/keep_rules.h"
#include "catalog/catalog.h"

namespace pgtwig::engine {

// The snapshots from which every body of `bodies` can be recovered to every moment since `keep_after`: of each body the
// newest at or before that moment, or else the one of the body that it continues, or else its own oldest. `snapshots`
// and `bodies` are all of one project.
std::set<IncarnationId> needed_restore_points(const std::vector<catalog::SnapshotRecord>& snapshots,
                                              const std::vector<catalog::IncarnationRecord>& bodies,
                                              TimePoint keep_after);

struct Pruning {
  std::vector<KeepRule> rules;
  TimePoint now;
  std::set<IncarnationId> needed = {};         // whatever the rules say
  std::set<IncarnationId> with_branches = {};  // likewise
};
// Of the snapshots of one branch those that its schedule made and no rule keeps. A rule keeps the oldest of each of its
// last `count` hours (days, weeks), counted from 1970 on in UTC, so that what one day keeps the next does not drop.
// The newest stays always, and so do those with a message.
std::vector<catalog::SnapshotRecord> restore_points_to_prune(const std::vector<catalog::SnapshotRecord>& snapshots,
                                                             const Pruning& pruning);

// The windows of a project's bodies as they are, WAL that is missing included, from `promised` on: what the promised
// window of recovery comes to. `lineages` are of all its bodies.
class PromisedWindows {
 public:
  PromisedWindows(std::vector<archive::Lineage> lineages, TimePoint promised)
      : lineages_(std::move(lineages)), promised_(promised) {}
  // Whether no window gets narrower without this snapshot; from then on it counts as gone. A snapshot by itself is no
  // window.
  bool can_do_without(const IncarnationId& snapshot);

 private:
  std::vector<archive::Lineage> lineages_;
  TimePoint promised_;
};

}  // namespace pgtwig::engine
