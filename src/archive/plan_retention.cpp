// Which archived segments the promised windows need, and so which may go.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "archive/lineage.h"
#include "archive/lineage_view.h"

namespace pgtwig::archive {

namespace {

using Key = std::pair<IncarnationId, Segment>;
// Why it is needed: the time of the restore point that it is replayed from; absent where there is none yet.
using Needs = std::map<Key, std::optional<TimePoint>>;

void note_need(Needs& needs, const Lineage& lineage, const ViewSegment& segment, std::optional<TimePoint> since) {
  const Key key{lineage.links[segment.link].incarnation, segment.available->segment};
  auto [place, is_new] = needs.emplace(key, since);
  if (!is_new && since && (!place->second || *since < *place->second)) place->second = since;
}

// The newest at or before `time` of those that link `last` can use, or the oldest.
const RestorePoint* first_needed(const std::vector<LinkedPoint>& points, std::size_t last, TimePoint time) {
  const RestorePoint* chosen = nullptr;
  for (const LinkedPoint& linked : points) {
    if (linked.link > last) continue;
    if (chosen == nullptr || linked.point->time <= time) chosen = linked.point;
  }
  return chosen;
}

// Of a view that another link continues: everything before that.
void need_view(Needs& needs, const Lineage& lineage, const View& view, const std::vector<LinkedPoint>& points,
               TimePoint keep_after) {
  const bool is_last = view.link() + 1 == lineage.links.size();
  const Link* next = is_last ? nullptr : &lineage.links[view.link() + 1];
  const TimePoint until = is_last ? lineage.links.back().ended_at : next->source_time;
  if (until < keep_after) return;

  const RestorePoint* start = first_needed(points, view.link(), keep_after);
  const auto& segments = view.segments();
  if (start == nullptr) {
    // A restore point that is being made may need what is young.
    for (const ViewSegment& segment : segments) {
      const auto completed_at = segment.available->completed_at;
      if (!completed_at || *completed_at >= keep_after) note_need(needs, lineage, segment, std::nullopt);
    }
    return;
  }
  const std::size_t first = view.at_or_after(segment_of(start->redo, lineage.segment_size));
  for (std::size_t index = first; index < segments.size(); ++index) {
    note_need(needs, lineage, segments[index], start->time);
    if (next == nullptr || index == first) continue;
    const auto before = segments[index - 1].available->completed_at;
    const Lsn end = end_lsn(segments[index].available->segment, lineage.segment_size);
    if (before && *before >= until && end >= next->own_from) break;
  }
}

bool is_own(const Lineage& lineage, const Link& link, const Segment& segment) {
  return segment.timeline == link.timeline && segment.number >= segment_of(link.own_from, lineage.segment_size);
}

// What may go of one link, and what may not.
void judge_link(const Lineage& lineage, const Link& link, const Needs& needs, const Retention& retention,
                RetentionPlan& plan, std::map<std::optional<TimePoint>, int>& kept) {
  for (const AvailableSegment& available : link.segments) {
    if (available.is_live) continue;
    const bool is_old =
        !retention.older_than || (available.completed_at && *available.completed_at < *retention.older_than);
    if (!is_old) continue;
    if (const auto need = needs.find({link.incarnation, available.segment}); need != needs.end()) {
      ++plan.kept;
      ++kept[need->second];
      continue;
    }
    // What isn't the body's own is nothing that anybody asks for, once it is old.
    const bool is_young = !available.completed_at || *available.completed_at >= retention.keep_after;
    if (!is_own(lineage, link, available.segment) && is_young) {
      ++plan.kept;
      ++kept[std::nullopt];
      continue;
    }
    plan.removals.push_back({link.incarnation, available.segment});
  }
}

std::string segments_text(int count) {
  return count == 1 ? "1 segment is" : fmt::format("{} segments are", count);
}

}  // namespace

RetentionPlan plan_retention(const std::vector<Lineage>& lineages, const Retention& retention) {
  Needs needs;
  for (const Lineage& lineage : lineages) {
    if (lineage.links.empty() || lineage.links.back().ended_at < retention.keep_after) continue;
    const std::vector<LinkedPoint> points = points_of_history(lineage);
    for (const View& view : all_views(lineage)) need_view(needs, lineage, view, points, retention.keep_after);
  }

  RetentionPlan plan;
  std::map<std::optional<TimePoint>, int> kept;
  std::set<IncarnationId> judged;
  for (const Lineage& lineage : lineages) {
    for (const Link& link : lineage.links) {
      if (judged.insert(link.incarnation).second) judge_link(lineage, link, needs, retention, plan, kept);
    }
  }
  for (const auto& [since, count] : kept) {
    plan.reasons.push_back(
        since ? fmt::format("{} needed from the restore point of {} on", segments_text(count), format_rfc3339(*since))
              : fmt::format("{} too young to go before there is a restore point", segments_text(count)));
  }
  return plan;
}

}  // namespace pgtwig::archive
