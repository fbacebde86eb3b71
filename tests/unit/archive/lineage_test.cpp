// Windows, plans and retention, on a world of which everything is known.
#include "archive/lineage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>

#include "tests/unit/archive/lineage_model.h"

namespace pgtwig::archive {
namespace {

using support::Commit;
using support::LineageModel;
using support::model_segment_size;
using support::ModelBody;
using ::testing::HasSubstr;

LineageModel any_world(int most_events = 160) {
  const int events = *rc::gen::inRange(1, most_events);
  return LineageModel(*rc::gen::noShrink(rc::gen::arbitrary<std::uint32_t>()), events);
}

bool is_inside(const std::vector<Window>& windows, TimePoint time) {
  return std::ranges::any_of(windows, [&](const Window& window) { return window.from <= time && time <= window.to; });
}

bool is_inside(const std::vector<Window>& windows, Lsn lsn) {
  return std::ranges::any_of(windows,
                             [&](const Window& window) { return window.from_lsn <= lsn && lsn <= window.to_lsn; });
}

template <class IsIncluded>
std::set<int> commits_of(const ModelBody& body, IsIncluded is_included) {
  std::set<int> ids;
  for (const Commit& commit : body.history) {
    if (is_included(commit)) ids.insert(commit.id);
  }
  return ids;
}

std::size_t link_index(const Lineage& lineage, const IncarnationId& id) {
  const auto found = std::ranges::find(lineage.links, id, &Link::incarnation);
  RC_ASSERT(found != lineage.links.end());
  return static_cast<std::size_t>(found - lineage.links.begin());
}

// One after the other from where replay begins, and of each link only what no later one overrode.
void check_chain(const Lineage& lineage, const ReplayPlan& plan) {
  RC_ASSERT(plan.needed <= plan.segments.size());
  if (plan.segments.empty()) return;
  RC_ASSERT(plan.segments.front().segment.number == segment_of(plan.start.redo, model_segment_size));
  std::size_t newest = 0;
  for (std::size_t index = 0; index < plan.segments.size(); ++index) {
    const PlannedSegment& planned = plan.segments[index];
    if (index > 0) RC_ASSERT(planned.segment.number == plan.segments[index - 1].segment.number + 1);
    const std::size_t link = link_index(lineage, planned.incarnation);
    RC_ASSERT(link >= newest);
    RC_ASSERT(planned.segment.timeline == lineage.links[link].timeline);
    RC_ASSERT(planned.segment.timeline <= plan.timeline);
    newest = link;
  }
  for (const PlannedSegment& planned : plan.segments) {
    for (std::size_t later = link_index(lineage, planned.incarnation) + 1; later <= newest; ++later) {
      RC_ASSERT(planned.segment.number < segment_of(lineage.links[later].own_from, model_segment_size));
    }
  }
  RC_ASSERT(plan.link < lineage.links.size());
}

// Replay of it shows exactly `expected`.
template <class IsLater>
void check_replay(const LineageModel& world, const ReplayPlan& plan, const std::set<int>& expected, IsLater is_later) {
  Lsn reached;
  const auto shown = world.replay(plan, is_later, reached);
  RC_ASSERT(shown.has_value());
  RC_ASSERT(*shown == expected);
  // With the needed segments alone it is the same.
  ReplayPlan least = plan;
  least.segments.erase(least.segments.begin() + static_cast<std::ptrdiff_t>(plan.needed), least.segments.end());
  const auto shown_by_least = world.replay(least, is_later, reached);
  RC_ASSERT(shown_by_least.has_value());
  RC_ASSERT(*shown_by_least == expected);
}

RC_GTEST_PROP(PlanReplay, GivesTheCommitsUpToAnyTimeInsideAWindowAndNoOther, ()) {
  const LineageModel world = any_world();
  int inside = 0;
  for (std::size_t index = 0; index < world.bodies().size(); ++index) {
    const Lineage lineage = world.lineage(index);
    const std::vector<Window> all = windows(lineage);
    for (const TimePoint moment : world.moments()) {
      const auto plan = plan_replay(lineage, moment);
      RC_ASSERT(plan.has_value() == is_inside(all, moment));
      if (!plan) continue;
      ++inside;
      RC_ASSERT(plan->start.time <= moment);
      check_chain(lineage, *plan);
      check_replay(world, *plan, commits_of(world.bodies()[index], [&](const Commit& c) { return c.time <= moment; }),
                   [&](const Commit& commit) { return commit.time > moment; });
    }
  }
  RC_CLASSIFY(inside > 0);
}

RC_GTEST_PROP(PlanReplay, GivesTheCommitsUpToAnyLsnInsideAWindowAndNoOther, ()) {
  const LineageModel world = any_world();
  for (std::size_t index = 0; index < world.bodies().size(); ++index) {
    const ModelBody& body = world.bodies()[index];
    const Lineage lineage = world.lineage(index);
    const std::vector<Window> all = windows(lineage);
    std::set<Lsn> places{Lsn{1}, Lsn{body.written.value + 1}, body.written, body.own_from};
    for (const Commit& commit : body.history) {
      for (const std::uint64_t place : {commit.end.value - 1, commit.end.value, commit.end.value + 1})
        places.insert(Lsn{place});
    }
    for (const Lsn place : places) {
      const auto plan = plan_replay(lineage, place);
      if (!plan) continue;
      RC_ASSERT(is_inside(all, place));
      RC_ASSERT(plan->start.end <= place);
      check_chain(lineage, *plan);
      check_replay(world, *plan, commits_of(body, [&](const Commit& c) { return c.end <= place; }),
                   [&](const Commit& commit) { return commit.end > place; });
    }
    for (const Window& window : all) {
      RC_ASSERT(window.from <= window.to);
      RC_ASSERT(window.from_lsn <= window.to_lsn);
      RC_ASSERT(plan_replay(lineage, window.from_lsn).has_value());
      RC_ASSERT(plan_replay(lineage, window.to_lsn).has_value());
    }
  }
}

RC_GTEST_PROP(PlanReplay, FindsTransactionsAndTheEndFromARestorePointBeforeThem, ()) {
  const LineageModel world = any_world();
  for (std::size_t index = 0; index < world.bodies().size(); ++index) {
    const ModelBody& body = world.bodies()[index];
    const Lineage lineage = world.lineage(index);
    for (const Commit& commit : body.history) {
      const auto plan = plan_replay(lineage, TransactionTarget{static_cast<std::uint64_t>(commit.id)});
      if (!plan) continue;
      check_chain(lineage, *plan);
      RC_ASSERT(plan->needed == plan->segments.size());
      Lsn reached;
      const auto before = world.replay(*plan, [&](const Commit& seen) { return seen.id == commit.id; }, reached);
      RC_ASSERT(before.has_value());
      RC_ASSERT(!before->contains(commit.id));
    }
    const auto to_end = plan_replay(lineage, EndOfWal{});
    const std::vector<Window> all = windows(lineage);
    RC_ASSERT(to_end.has_value() == std::ranges::any_of(all, &Window::is_open));
    if (!to_end) continue;
    RC_ASSERT(to_end->reaches_end);
    check_replay(world, *to_end, commits_of(body, [](const Commit&) { return true; }),
                 [](const Commit&) { return false; });
  }
}

RC_GTEST_PROP(Windows, AreInOrderAndApartAndShrinkWithWhatIsLost, ()) {
  const LineageModel world = any_world();
  const auto doomed = *rc::gen::inRange<std::size_t>(0, 50);
  for (Lineage lineage : world.all_lineages()) {
    const std::vector<Window> all = windows(lineage);
    for (std::size_t index = 1; index < all.size(); ++index) RC_ASSERT(all[index - 1].to < all[index].from);
    std::vector<AvailableSegment>& segments = lineage.links[doomed % lineage.links.size()].segments;
    if (segments.empty()) continue;
    segments.erase(segments.begin() + static_cast<std::ptrdiff_t>(doomed % segments.size()));
    const std::vector<Window> fewer = windows(lineage);
    for (const TimePoint moment : world.moments()) RC_ASSERT(!is_inside(fewer, moment) || is_inside(all, moment));
  }
}

// Returns how many segments went.
std::size_t check_retention() {
  const LineageModel world = any_world(800);
  // Also without those of the bodies that others came from: these stand for themselves.
  std::vector<Lineage> before = world.all_lineages();
  std::erase_if(before, [](const Lineage&) { return *rc::gen::inRange(0, 3) == 0; });
  const TimePoint keep_after = world.now() - std::chrono::milliseconds(*rc::gen::inRange(0, 1'000'000));
  const auto older_than = *rc::gen::maybe(rc::gen::inRange(0, 1'000'000));
  Retention retention{.keep_after = keep_after, .older_than = {}};
  if (older_than) retention.older_than = world.now() - std::chrono::milliseconds(*older_than);
  const RetentionPlan plan = plan_retention(before, retention);

  std::vector<Lineage> after = before;
  std::size_t removed = 0;
  std::set<IncarnationId> counted;
  for (Lineage& lineage : after) {
    for (Link& link : lineage.links) {
      const std::size_t erased = std::erase_if(link.segments, [&](const AvailableSegment& available) {
        const bool is_removed = std::ranges::any_of(plan.removals, [&](const Removal& removal) {
          return removal.incarnation == link.incarnation && removal.segment == available.segment;
        });
        if (is_removed) RC_ASSERT(!available.is_live);
        if (is_removed && retention.older_than) RC_ASSERT(*available.completed_at < *retention.older_than);
        return is_removed;
      });
      if (counted.insert(link.incarnation).second) removed += erased;
    }
  }
  RC_ASSERT(removed == plan.removals.size());
  for (std::size_t index = 0; index < before.size(); ++index) {
    if (before[index].links.back().ended_at < keep_after) continue;
    const std::vector<Window> promised = windows(before[index]);
    const std::vector<Window> left = windows(after[index]);
    for (const TimePoint moment : world.moments()) {
      if (moment < keep_after || !is_inside(promised, moment)) continue;
      RC_ASSERT(is_inside(left, moment));
    }
    for (const Window& window : promised) {
      if (window.to >= keep_after) RC_ASSERT(is_inside(left, window.to));
    }
  }
  return removed;
}

RC_GTEST_PROP(PlanRetention, NeverShortensAPromisedWindow, ()) {
  constexpr int worlds = 30;
  std::size_t removed = 0;
  for (int world = 0; world < worlds; ++world) removed += check_retention();
  RC_CLASSIFY(removed > 0);
}

}  // namespace
}  // namespace pgtwig::archive
