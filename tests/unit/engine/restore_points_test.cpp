// Which restore points are needed and which have had their time, without an engine.
#include "engine/restore_points.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>

namespace pgtwig::engine {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

const ProjectId owner_project = ProjectId::random();
const BranchId owner_branch = BranchId::random();
const TimePoint monday = *parse_rfc3339("2026-03-02T00:00:00Z");

catalog::SnapshotRecord restore_point(const IncarnationId& body, TimePoint time,
                                      catalog::SnapshotKind kind = catalog::SnapshotKind::scheduled) {
  return {.id = IncarnationId::random(),
          .project = owner_project,
          .branch = owner_branch,
          .incarnation = body,
          .name = format_rfc3339(time),
          .message = {},
          .kind = kind,
          .created_at = time};
}

catalog::IncarnationRecord body_since(TimePoint began, std::optional<IncarnationId> source = {}) {
  return {.id = IncarnationId::random(),
          .project = owner_project,
          .branch = owner_branch,
          .cause = "create",
          .source = source,
          .origin = {},
          .source_time = began,
          .own_from = {},
          .began_at = began};
}

// Day and hour of what is left, as "3T07".
std::vector<std::string> times_after(const std::vector<catalog::SnapshotRecord>& all,
                                     const std::vector<catalog::SnapshotRecord>& pruned) {
  std::vector<std::string> times;
  for (const auto& point : all) {
    if (std::ranges::find(pruned, point.id, &catalog::SnapshotRecord::id) != pruned.end()) continue;
    times.push_back(format_rfc3339(point.created_at).substr(9, 4));
  }
  return times;
}

TEST(RestorePointsToPrune, AreThoseThatNoRuleKeeps) {
  const IncarnationId body = IncarnationId::random();
  std::vector<catalog::SnapshotRecord> points;
  for (int hour = 0; hour < 60; hour += 3) points.push_back(restore_point(body, monday + std::chrono::hours(hour)));
  // It is the 4th, half past nine.
  const auto pruned =
      restore_points_to_prune(points, {.rules = *parse_keep_rules("7h,3d"), .now = monday + 57h + 30min});
  EXPECT_THAT(times_after(points, pruned), ElementsAre("2T00", "3T00", "4T00", "4T03", "4T06", "4T09"));
}

TEST(RestorePointsToPrune, SpareWhatIsNeededHasBranchesOrWasWantedBySomebody) {
  const IncarnationId body = IncarnationId::random();
  std::vector<catalog::SnapshotRecord> points;
  for (int hour = 0; hour < 6; ++hour) points.push_back(restore_point(body, monday + std::chrono::hours(hour)));
  points[1].message = "before the release";
  points[4].kind = catalog::SnapshotKind::manual;
  points.push_back(restore_point(body, monday + 6h, catalog::SnapshotKind::restore));
  const auto pruned = restore_points_to_prune(points, {.rules = *parse_keep_rules("1m"),
                                                       .now = monday + 1000h,
                                                       .needed = {points[2].id},
                                                       .with_branches = {points[3].id}});
  // The 5th hour's is the newest that the schedule made.
  EXPECT_THAT(times_after(points, pruned), ElementsAre("2T01", "2T02", "2T03", "2T04", "2T05", "2T06"));
}

TEST(NeededRestorePoints, AreTheNewestBeforeTheWindowOrElseTheOldest) {
  const auto body = body_since(monday);
  const auto other = body_since(monday);
  const std::vector<catalog::SnapshotRecord> points = {
      restore_point(body.id, monday + 1h), restore_point(body.id, monday + 2h), restore_point(body.id, monday + 3h),
      restore_point(other.id, monday + 5h), restore_point(other.id, monday + 6h)};
  EXPECT_THAT(needed_restore_points(points, {body, other}, monday + 2h + 30min),
              UnorderedElementsAre(points[1].id, points[3].id));
  EXPECT_THAT(needed_restore_points({}, {body, other}, monday), IsEmpty());
}

TEST(NeededRestorePoints, OfAChildAreItsParentsBeforeItsBirth) {
  const auto parent = body_since(monday);
  const auto child = body_since(monday + 10h, parent.id);
  const std::vector<catalog::SnapshotRecord> points = {
      restore_point(parent.id, monday + 1h), restore_point(parent.id, monday + 9h),
      restore_point(parent.id, monday + 11h), restore_point(parent.id, monday + 40h),
      restore_point(child.id, monday + 50h)};
  // The window begins after the birth of the child, which had no restore point of its own by then.
  EXPECT_THAT(needed_restore_points(points, {parent, child}, monday + 45h),
              UnorderedElementsAre(points[3].id, points[1].id));
  // And before it: what is good for the parent is good for the child.
  EXPECT_THAT(needed_restore_points(points, {parent, child}, monday + 5h), UnorderedElementsAre(points[0].id));
  EXPECT_THAT(needed_restore_points(points, {parent, child}, monday + 60h),
              UnorderedElementsAre(points[3].id, points[4].id));
}

TEST(NeededRestorePoints, OfABodyThatEndedAreKeptAsLongAsItsTimeIsInTheWindow) {
  auto first = body_since(monday);
  first.ended_at = monday + 10h;
  const auto second = body_since(monday + 10h);
  const std::vector<catalog::SnapshotRecord> points = {restore_point(first.id, monday + 1h),
                                                       restore_point(second.id, monday + 11h)};
  EXPECT_THAT(needed_restore_points(points, {first, second}, monday + 9h),
              UnorderedElementsAre(points[0].id, points[1].id));
  EXPECT_THAT(needed_restore_points(points, {first, second}, monday + 12h), UnorderedElementsAre(points[1].id));
}

TEST(NeededRestorePoints, AreFoundThoughARecordIsItsOwnSource) {
  auto body = body_since(monday);
  body.source = body.id;
  EXPECT_THAT(needed_restore_points({}, {body}, monday), IsEmpty());
}

// Segments of 16 MiB, one an hour from midnight on; a restore point in the middle of some.
archive::Lineage lineage_with_gap(const std::vector<catalog::SnapshotRecord>& points, std::uint64_t missing) {
  constexpr std::uint64_t size = 16u << 20;
  archive::Link link{.incarnation = points.front().incarnation,
                     .own_from = {size},
                     .source_time = monday,
                     .began_at = monday,
                     .ended_at = monday + 9h,
                     .restore_points = {},
                     .segments = {}};
  for (const auto& point : points) {
    const auto number = static_cast<std::uint64_t>((point.created_at - monday) / 1h) + 1;
    link.restore_points.push_back({.volume = point.id,
                                   .redo = {number * size + size / 4},
                                   .end = {number * size + size / 2},
                                   .time = point.created_at});
  }
  for (std::uint64_t number = 1; number <= 9; ++number) {
    if (number == missing) continue;
    link.segments.push_back(
        {.segment = {.timeline = 1, .number = number}, .completed_at = monday + std::chrono::hours(number)});
  }
  return {.links = {link}};
}

TEST(PromisedWindows, StayAsWideAsTheyAreWithWalMissing) {
  const IncarnationId body = IncarnationId::random();
  std::vector<catalog::SnapshotRecord> points;
  for (const int hour : {0, 1, 5, 6}) points.push_back(restore_point(body, monday + std::chrono::hours(hour) + 30min));
  const archive::Lineage lineage = lineage_with_gap(points, 4);
  PromisedWindows windows({lineage}, monday);
  EXPECT_FALSE(windows.can_do_without(points[0].id));
  EXPECT_TRUE(windows.can_do_without(points[1].id));
  // The one behind the gap, and not both.
  EXPECT_FALSE(windows.can_do_without(points[2].id));
  EXPECT_TRUE(windows.can_do_without(points[3].id));
  EXPECT_TRUE(windows.can_do_without(IncarnationId::random()));
  // What was before the promised window is nobody's loss.
  PromisedWindows later({lineage}, monday + 7h + 30min);
  EXPECT_TRUE(later.can_do_without(points[0].id));
  EXPECT_TRUE(later.can_do_without(points[1].id));
  EXPECT_TRUE(later.can_do_without(points[2].id));
  EXPECT_FALSE(later.can_do_without(points[3].id));
}

// Any restore points within two hundred days, in the order of time.
rc::Gen<std::vector<catalog::SnapshotRecord>> any_restore_points() {
  const IncarnationId body = IncarnationId::random();
  return rc::gen::map(rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 200 * 24 * 60)), [body](auto minutes) {
    std::ranges::sort(minutes);
    std::vector<catalog::SnapshotRecord> points;
    for (const int minute : minutes) points.push_back(restore_point(body, monday + std::chrono::minutes(minute)));
    return points;
  });
}

rc::Gen<std::vector<KeepRule>> any_rules() {
  const auto period = rc::gen::element(std::chrono::seconds(1h), std::chrono::seconds(24h), std::chrono::seconds(168h));
  return rc::gen::nonEmpty(rc::gen::container<std::vector<KeepRule>>(
      rc::gen::apply([](std::chrono::seconds length, int count) { return KeepRule{length, count}; }, period,
                     rc::gen::inRange(1, 30))));
}

std::vector<catalog::SnapshotRecord> without(std::vector<catalog::SnapshotRecord> points,
                                             const std::vector<catalog::SnapshotRecord>& pruned) {
  std::erase_if(points, [&](const auto& point) {
    return std::ranges::find(pruned, point.id, &catalog::SnapshotRecord::id) != pruned.end();
  });
  return points;
}

RC_GTEST_PROP(RestorePointsToPrune, LeaveOneInEveryPeriodThatARuleCounts, ()) {
  const auto points = *any_restore_points();
  const Pruning pruning{.rules = *any_rules(), .now = monday + std::chrono::minutes(*rc::gen::inRange(0, 210 * 1440))};
  const auto left = without(points, restore_points_to_prune(points, pruning));
  for (const KeepRule& rule : pruning.rules) {
    const auto number = [&](TimePoint time) { return time.time_since_epoch() / rule.period; };
    for (const auto& point : points) {
      if (point.created_at > pruning.now || number(point.created_at) <= number(pruning.now) - rule.count) continue;
      RC_ASSERT(std::ranges::any_of(left, [&](const auto& other) {
        return number(other.created_at) == number(point.created_at) && other.created_at <= point.created_at;
      }));
    }
  }
  if (!points.empty()) RC_ASSERT(left.back().id == points.back().id);
}

// Whoever prunes every hour is left with what one who prunes once would have: nothing that a rule will want is gone.
RC_GTEST_PROP(RestorePointsToPrune, AreTheSameHoweverOftenItIsDone, ()) {
  const auto points = *any_restore_points();
  const auto rules = *any_rules();
  const TimePoint end = monday + 24h * 200;
  std::vector<catalog::SnapshotRecord> left;
  for (const auto& point : points) {
    left.push_back(point);
    left = without(left, restore_points_to_prune(left, {.rules = rules, .now = point.created_at}));
  }
  left = without(left, restore_points_to_prune(left, {.rules = rules, .now = end}));
  const auto at_once = without(points, restore_points_to_prune(points, {.rules = rules, .now = end}));
  RC_ASSERT(left.size() == at_once.size());
  for (std::size_t at = 0; at < left.size(); ++at) RC_ASSERT(left[at].created_at == at_once[at].created_at);
}

RC_GTEST_PROP(RestorePointsToPrune, NeverTakeWhatRecoveryNeeds, ()) {
  const auto parent = body_since(monday);
  const auto child = body_since(monday + 24h * 50, parent.id);
  auto points = *any_restore_points();
  for (auto& point : points) point.incarnation = *rc::gen::arbitrary<bool>() ? parent.id : child.id;
  std::erase_if(points,
                [&](const auto& point) { return point.incarnation == child.id && point.created_at < child.began_at; });
  const TimePoint now = monday + 24h * 200;
  const TimePoint keep_after = now - std::chrono::minutes(*rc::gen::inRange(0, 200 * 1440));
  const auto needed = needed_restore_points(points, {parent, child}, keep_after);
  const auto left =
      without(points, restore_points_to_prune(points, {.rules = *any_rules(), .now = now, .needed = needed}));
  // Every moment of the window that could be reached before is reached still, from the child's side as well.
  const auto reaches = [&](const auto& from, TimePoint moment) {
    return std::ranges::any_of(from, [&](const auto& point) {
      return point.created_at <= moment &&
             (point.incarnation == child.id ? moment >= child.began_at : point.created_at <= child.source_time);
    });
  };
  for (TimePoint moment = keep_after; moment < now; moment += 5h) {
    RC_ASSERT(reaches(points, moment) == reaches(left, moment));
  }
}

}  // namespace
}  // namespace pgtwig::engine
