#include "engine/restore_points.h"

#include <algorithm>
#include <map>

namespace pgtwig::engine {
namespace {

using Snapshot = catalog::SnapshotRecord;
using Bodies = std::map<IncarnationId, const catalog::IncarnationRecord*>;

const Snapshot* newest_until(const std::vector<const Snapshot*>& points, TimePoint until) {
  const Snapshot* newest = nullptr;
  for (const Snapshot* point : points) {
    if (point->created_at <= until && (!newest || point->created_at > newest->created_at)) newest = point;
  }
  return newest;
}

const Snapshot* oldest_of(const std::vector<const Snapshot*>& points) {
  const auto oldest = std::ranges::min_element(points, {}, &Snapshot::created_at);
  return oldest == points.end() ? nullptr : *oldest;
}

class Needs {
 public:
  Needs(const std::vector<Snapshot>& snapshots, const std::vector<catalog::IncarnationRecord>& bodies) {
    for (const auto& body : bodies) bodies_.emplace(body.id, &body);
    for (const Snapshot& snapshot : snapshots) points_[snapshot.incarnation].push_back(&snapshot);
  }

  // Where a recovery of this body to `moment` or later begins. `depth` ends a lineage that a damaged record made a
  // circle of.
  const Snapshot* start(const catalog::IncarnationRecord& body, TimePoint moment, TimePoint last,
                        std::size_t depth = 0) {
    std::vector<const Snapshot*> own = points_[body.id];
    std::erase_if(own, [&](const Snapshot* point) { return point->created_at > last; });
    if (const Snapshot* newest = newest_until(own, moment)) return newest;
    const auto source = body.source ? bodies_.find(*body.source) : bodies_.end();
    if (source != bodies_.end() && depth < bodies_.size()) {
      const TimePoint end = std::min(last, body.source_time);
      if (const Snapshot* before = start(*source->second, std::min(moment, end), end, depth + 1)) return before;
    }
    return oldest_of(own);
  }

 private:
  Bodies bodies_;
  std::map<IncarnationId, std::vector<const Snapshot*>> points_;
};

std::int64_t period_number(TimePoint time, std::chrono::seconds period) {
  return std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count() / period.count();
}

// Adds the oldest of each of the rule's periods. `oldest_first` are the snapshots that a rule may count.
void keep_by_rule(const std::vector<Snapshot>& oldest_first, const KeepRule& rule, TimePoint now,
                  std::set<IncarnationId>& kept) {
  std::set<std::int64_t> seen;
  const std::int64_t present = period_number(now, rule.period);
  for (const Snapshot& snapshot : oldest_first) {
    const std::int64_t period = period_number(snapshot.created_at, rule.period);
    if (period > present - rule.count && seen.insert(period).second) kept.insert(snapshot.id);
  }
}

}  // namespace

std::set<IncarnationId> needed_restore_points(const std::vector<Snapshot>& snapshots,
                                              const std::vector<catalog::IncarnationRecord>& bodies,
                                              TimePoint keep_after) {
  Needs needs(snapshots, bodies);
  std::set<IncarnationId> needed;
  for (const auto& body : bodies) {
    if (body.ended_at && *body.ended_at < keep_after) continue;
    const Snapshot* start = needs.start(body, keep_after, TimePoint::max());
    if (start) needed.insert(start->id);
  }
  return needed;
}

namespace {

archive::Lineage without(archive::Lineage lineage, const IncarnationId& snapshot) {
  for (auto& link : lineage.links) {
    std::erase_if(link.restore_points, [&](const auto& point) { return point.volume == snapshot; });
  }
  return lineage;
}

bool has(const archive::Lineage& lineage, const IncarnationId& snapshot) {
  return std::ranges::any_of(lineage.links, [&](const archive::Link& link) {
    return std::ranges::find(link.restore_points, snapshot, &archive::RestorePoint::volume) !=
           link.restore_points.end();
  });
}

std::vector<std::pair<TimePoint, TimePoint>> windows_since(const archive::Lineage& lineage, TimePoint promised) {
  std::vector<std::pair<TimePoint, TimePoint>> list;
  for (const archive::Window& window : archive::windows(lineage)) {
    const TimePoint from = std::max(window.from, promised);
    if (from < window.to) list.emplace_back(from, window.to);
  }
  return list;
}

}  // namespace

bool PromisedWindows::can_do_without(const IncarnationId& snapshot) {
  std::vector<archive::Lineage> fewer = lineages_;
  for (std::size_t at = 0; at < lineages_.size(); ++at) {
    if (!has(lineages_[at], snapshot)) continue;
    fewer[at] = without(lineages_[at], snapshot);
    if (windows_since(fewer[at], promised_) != windows_since(lineages_[at], promised_)) return false;
  }
  lineages_ = std::move(fewer);
  return true;
}

std::vector<Snapshot> restore_points_to_prune(const std::vector<Snapshot>& snapshots, const Pruning& pruning) {
  std::vector<Snapshot> points = snapshots;
  std::erase_if(points, [](const Snapshot& point) { return point.kind != catalog::SnapshotKind::scheduled; });
  std::ranges::stable_sort(points, {}, &Snapshot::created_at);
  std::set<IncarnationId> kept = pruning.needed;
  kept.insert(pruning.with_branches.begin(), pruning.with_branches.end());
  if (!points.empty()) kept.insert(points.back().id);
  for (const KeepRule& rule : pruning.rules) keep_by_rule(points, rule, pruning.now, kept);
  std::erase_if(points, [&](const Snapshot& point) { return kept.contains(point.id) || !point.message.empty(); });
  return points;
}

}  // namespace pgtwig::engine
