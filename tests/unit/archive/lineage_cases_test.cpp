// Windows, plans and retention in cases that can be read; lineage_test.cpp has all the others.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "archive/lineage.h"

namespace pgtwig::archive {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr std::uint64_t mib = 1 << 20;

// Minutes after twelve.
TimePoint at(int minute, int microseconds = 0) {
  return *parse_rfc3339("2026-03-01T12:00:00Z") + std::chrono::minutes(minute) +
         std::chrono::microseconds(microseconds);
}
AvailableSegment archived(std::uint64_t number, int minute, Timeline timeline = 1) {
  return {{timeline, number}, at(minute), false};
}
AvailableSegment live(std::uint64_t number, Timeline timeline = 1) {
  return {{timeline, number}, std::nullopt, true};
}
RestorePoint point(std::uint64_t redo, std::uint64_t end, int minute, std::uint64_t next_xid = 100) {
  return {.volume = IncarnationId::random(),
          .redo = Lsn{redo},
          .end = Lsn{end},
          .timeline = 1,
          .next_xid = next_xid,
          .time = at(minute)};
}
// A first body, from minute 0 to 60, with segments of 1 MiB that are full each ten minutes: 3 at 10, 4 at 20, ... 7 is
// being written.
Link parent() {
  return {.incarnation = IncarnationId::random(),
          .timeline = 1,
          .own_from = Lsn{3 * mib + 40},
          .source_time = at(0),
          .began_at = at(0),
          .ended_at = at(60),
          .written_until = Lsn{7 * mib + 5000},
          .restore_points = {point(3 * mib + 40, 3 * mib + 900, 2)},
          .segments = {archived(3, 10), archived(4, 20), archived(5, 30), archived(6, 40), live(7)}};
}
Lineage lineage_of(std::vector<Link> links) {
  return {.links = std::move(links), .segment_size = Bytes{mib}};
}
void lose(Link& link, std::uint64_t number) {
  std::erase_if(link.segments, [&](const AvailableSegment& available) { return available.segment.number == number; });
}
std::vector<std::uint64_t> numbers(const ReplayPlan& plan) {
  std::vector<std::uint64_t> found;
  for (const PlannedSegment& planned : plan.segments) found.push_back(planned.segment.number);
  return found;
}

TEST(Windows, OfARunningBodyReachFromItsFirstRestorePointToNow) {
  EXPECT_THAT(windows(lineage_of({parent()})),
              ElementsAre(Window{at(2), at(60), Lsn{3 * mib + 900}, Lsn{7 * mib + 5000}, true}));
}

TEST(Windows, AreNoneWithoutARestorePoint) {
  Link link = parent();
  link.restore_points.clear();
  EXPECT_THAT(windows(lineage_of({link})), IsEmpty());
  EXPECT_THAT(windows(lineage_of({})), IsEmpty());
  const auto plan = plan_replay(lineage_of({link}), at(5));
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error(), "2026-03-01T12:05:00Z can't be recovered: there is no restore point yet");
}

TEST(Windows, EndAtAGapAndBeginAgainWithTheNextRestorePoint) {
  Link link = parent();
  link.restore_points.push_back(point(6 * mib + 50, 6 * mib + 60, 35));
  lose(link, 5);
  // All until minute 10 is in 3 and 4; what is in 4 of later may go on in 5.
  EXPECT_THAT(windows(lineage_of({link})),
              ElementsAre(Window{at(2), at(10), Lsn{3 * mib + 900}, Lsn{5 * mib}, false},
                          Window{at(35), at(60), Lsn{6 * mib + 60}, Lsn{7 * mib + 5000}, true}));
  EXPECT_THAT(gaps(lineage_of({link})), SizeIs(1));
  const auto plan = plan_replay(lineage_of({link}), at(11));
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error(),
            "2026-03-01T12:11:00Z is outside of what can be recovered, which is from 2026-03-01T12:02:00Z to "
            "2026-03-01T12:10:00Z, and from 2026-03-01T12:35:00Z to 2026-03-01T13:00:00Z");
}

TEST(Windows, AreAMomentWhereTheWalIsGone) {
  Link link = parent();
  link.segments.clear();
  EXPECT_THAT(windows(lineage_of({link})),
              ElementsAre(Window{at(2), at(2), Lsn{3 * mib + 900}, Lsn{3 * mib + 900}, false}));
  const auto plan = plan_replay(lineage_of({link}), at(2));
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->segments, IsEmpty());
  EXPECT_FALSE(plan_replay(lineage_of({link}), at(2, 1)));
}

TEST(Windows, OfAnEndedBodyWhoseEndNobodyKnowsStopShortOfIt) {
  Link link = parent();
  link.written_until.reset();
  link.segments.back() = archived(7, 55);
  EXPECT_EQ(windows(lineage_of({link})).back().to, at(40));
  link.written_until = Lsn{7 * mib + 100};
  EXPECT_EQ(windows(lineage_of({link})).back().to, at(60));
  link.written_until = Lsn{8 * mib + 100};
  EXPECT_EQ(windows(lineage_of({link})).back().to, at(40));
}

// A fork of the parent at minute 25.
Link child_of_parent() {
  return {.incarnation = IncarnationId::random(),
          .timeline = 1,
          .own_from = Lsn{5 * mib + 100},
          .source_time = at(25),
          .began_at = at(25),
          .ended_at = at(60),
          .written_until = Lsn{6 * mib + 100},
          .restore_points = {},
          .segments = {archived(5, 45), live(6)}};
}

TEST(Windows, OfAChildReachBackIntoItsParent) {
  const auto all = windows(lineage_of({parent(), child_of_parent()}));
  EXPECT_THAT(all, ElementsAre(Window{at(2), at(60), Lsn{3 * mib + 900}, Lsn{6 * mib + 100}, true}));
}

TEST(Windows, OfAChildHaveNoMomentThatItsParentLost) {
  Link loser = parent();
  lose(loser, 5);
  const auto all = windows(lineage_of({loser, child_of_parent()}));
  EXPECT_THAT(all, ElementsAre(Window{at(2), at(10), Lsn{3 * mib + 900}, Lsn{5 * mib}, false},
                               Window{at(25), at(60), Lsn{3 * mib + 900}, Lsn{6 * mib + 100}, true}));
}

TEST(Windows, OfAChildBeginWithItselfWhereItsParentLostTheWholeOfItsOwn) {
  Link first = parent();
  lose(first, 4);
  const Link recovered{.incarnation = IncarnationId::random(),
                       .timeline = 2,
                       .own_from = Lsn{4 * mib + 100},
                       .source_time = at(15),
                       .began_at = at(35),
                       .ended_at = at(60),
                       .written_until = Lsn{5 * mib + 100},
                       .restore_points = {},
                       .segments = {live(5, 2)}};
  Link fork{.incarnation = IncarnationId::random(),
            .timeline = 2,
            .own_from = Lsn{4 * mib + 200},
            .source_time = at(50),
            .began_at = at(50),
            .ended_at = at(60),
            .written_until = Lsn{6 * mib + 100},
            .restore_points = {},
            .segments = {archived(4, 52, 2), archived(5, 58, 2), live(6, 2)}};
  const Window snapshot{at(2), at(2), Lsn{3 * mib + 900}, Lsn{4 * mib}, false};
  EXPECT_THAT(windows(lineage_of({first, recovered, fork})),
              ElementsAre(snapshot, Window{at(50), at(60), Lsn{4 * mib + 100}, Lsn{6 * mib + 100}, true}));
  // What is left of it leads to minute 15, too. But who asks for that moment means another body's, whose WAL is gone.
  lose(fork, 5);
  EXPECT_THAT(windows(lineage_of({first, recovered, fork})), ElementsAre(snapshot));
}

TEST(Gaps, AreBetweenWhatIsThere) {
  Link link = parent();
  EXPECT_THAT(gaps(lineage_of({link})), IsEmpty());
  lose(link, 3);
  EXPECT_THAT(gaps(lineage_of({link})), IsEmpty());
  lose(link, 5);
  lose(link, 6);
  const auto found = gaps(lineage_of({link}));
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].first, (Segment{1, 5}));
  EXPECT_EQ(found[0].last, (Segment{1, 6}));
}

TEST(PlanReplay, NeedsTheSegmentsWrittenUntilATimeAndOneMore) {
  const auto plan = plan_replay(lineage_of({parent()}), at(15));
  ASSERT_TRUE(plan);
  EXPECT_THAT(numbers(*plan), ElementsAre(3, 4, 5, 6, 7));
  EXPECT_EQ(plan->needed, 3u);
  EXPECT_EQ(plan->must_reach, (Lsn{6 * mib}));
  EXPECT_EQ(plan->expected_end, (Lsn{5 * mib}));
  EXPECT_TRUE(plan->reaches_end);
  EXPECT_EQ(plan->timeline, 1u);
}

TEST(PlanReplay, MustComeToTheEndWhereATimeIsAfterAllThatIsComplete) {
  const Lineage lineage = lineage_of({parent()});
  for (const Target& target : {Target(at(50)), Target(EndOfWal{})}) {
    const auto plan = plan_replay(lineage, target);
    ASSERT_TRUE(plan);
    EXPECT_EQ(plan->needed, 5u);
    EXPECT_TRUE(plan->segments.back().is_live);
    EXPECT_EQ(plan->must_reach, (Lsn{7 * mib + 5000}));
  }
  // The server's insert position is behind the header of a page that has no record yet.
  Link link = parent();
  link.written_until = Lsn{7 * mib + 8192 + 24};
  EXPECT_EQ(plan_replay(lineage_of({link}), EndOfWal{})->must_reach, (Lsn{7 * mib + 8192}));
}

TEST(PlanReplay, BeginsAtTheNearestRestorePointBefore) {
  Link link = parent();
  link.restore_points.push_back(point(5 * mib + 50, 5 * mib + 60, 22));
  link.restore_points.push_back(point(6 * mib + 50, 6 * mib + 60, 32));
  const Lineage lineage = lineage_of({link});
  EXPECT_EQ(plan_replay(lineage, at(22, -1))->start.time, at(2));
  EXPECT_EQ(plan_replay(lineage, at(22))->start.time, at(22));
  EXPECT_EQ(plan_replay(lineage, at(31))->start.time, at(22));
  EXPECT_EQ(plan_replay(lineage, Lsn{6 * mib + 59})->start.time, at(22));
  EXPECT_EQ(plan_replay(lineage, Lsn{6 * mib + 60})->start.time, at(32));
  // A name may be anywhere.
  EXPECT_EQ(plan_replay(lineage, NamedTarget{"before"})->start.time, at(2));
}

TEST(PlanReplay, OfATransactionBeginsBeforeItCanHaveCommitted) {
  Link link = parent();
  link.restore_points.push_back(point(5 * mib + 50, 5 * mib + 60, 22, 200));
  const Lineage lineage = lineage_of({link});
  EXPECT_EQ(plan_replay(lineage, TransactionTarget{150})->start.time, at(2));
  EXPECT_EQ(plan_replay(lineage, TransactionTarget{200})->start.time, at(22));
  const auto plan = plan_replay(lineage, TransactionTarget{99});
  ASSERT_FALSE(plan);
  EXPECT_THAT(plan.error(), HasSubstr("transaction 99 may have begun before the oldest restore point"));
}

// Body 2 was recovered from the first at minute 15; body 3 forked from body 2 at minute 33.
Lineage three_deep() {
  Link recovered{.incarnation = IncarnationId::random(),
                 .timeline = 2,
                 .own_from = Lsn{4 * mib + 500},
                 .source_time = at(15),
                 .began_at = at(28),
                 .ended_at = at(60),
                 .written_until = Lsn{6 * mib + 100},
                 .restore_points = {},
                 .segments = {archived(4, 30, 2), archived(5, 40, 2), live(6, 2)}};
  Link child{.incarnation = IncarnationId::random(),
             .timeline = 2,
             .own_from = Lsn{5 * mib + 10},
             .source_time = at(33),
             .began_at = at(34),
             .ended_at = at(60),
             .written_until = Lsn{5 * mib + 9000},
             .restore_points = {},
             .segments = {live(5, 2)}};
  return lineage_of({parent(), recovered, child});
}

TEST(PlanReplay, FollowsTheChainAndNeverAParentBeyondTheFork) {
  const Lineage lineage = three_deep();
  const auto plan = plan_replay(lineage, at(50));
  ASSERT_TRUE(plan) << plan.error();
  EXPECT_THAT(numbers(*plan), ElementsAre(3, 4, 5));
  EXPECT_EQ(plan->segments[0].incarnation, lineage.links[0].incarnation);
  EXPECT_EQ(plan->segments[1].incarnation, lineage.links[1].incarnation);
  EXPECT_EQ(plan->segments[2].incarnation, lineage.links[2].incarnation);
  EXPECT_EQ(plan->timeline, 2u);
  EXPECT_EQ(plan->link, 2u);
  ASSERT_THAT(plan->histories, SizeIs(1));
  EXPECT_EQ(plan->histories[0].incarnation, lineage.links[1].incarnation);
  EXPECT_EQ(plan->histories[0].timeline, 2u);
}

TEST(PlanReplay, OfAMomentBeforeTheForkIsOfTheBodyAndTimelineOfThen) {
  const Lineage lineage = three_deep();
  const auto before = plan_replay(lineage, at(12));
  ASSERT_TRUE(before) << before.error();
  EXPECT_EQ(before->link, 0u);
  EXPECT_EQ(before->timeline, 1u);
  EXPECT_THAT(before->histories, IsEmpty());
  for (const PlannedSegment& planned : before->segments) EXPECT_EQ(planned.incarnation, lineage.links[0].incarnation);
  // What the parent wrote after the moment to which body 2 was recovered is no past of it, but that moment itself
  // lasts.
  const auto between = plan_replay(lineage, at(20));
  ASSERT_TRUE(between) << between.error();
  EXPECT_EQ(between->link, 1u);
  EXPECT_EQ(between->timeline, 2u);
  EXPECT_EQ(plan_replay(lineage, Lsn{4 * mib + 400})->link, 0u);
  EXPECT_EQ(plan_replay(lineage, Lsn{4 * mib + 600})->link, 1u);
  EXPECT_EQ(link_at(lineage, Lsn{4 * mib + 500}), 0u);
  EXPECT_EQ(link_at(lineage, Lsn{4 * mib + 501}), 1u);
  EXPECT_EQ(link_at(lineage, Lsn{9 * mib}), 2u);
}

TEST(PlanReplay, BeginsAtNoRestorePointThatTheParentGotAfterTheFork) {
  Lineage lineage = three_deep();
  lineage.links[0].restore_points.push_back(point(4 * mib + 450, 4 * mib + 470, 17));
  lineage.links[0].restore_points.push_back(point(6 * mib, 6 * mib + 470, 33));
  EXPECT_EQ(plan_replay(lineage, at(50))->start.time, at(2));
  EXPECT_EQ(plan_replay(lineage, EndOfWal{})->start.time, at(2));
}

TEST(PlanRetention, RemovesWhatIsBeforeTheRestorePointThatThePromiseNeeds) {
  Link link = parent();
  link.restore_points.push_back(point(5 * mib + 50, 5 * mib + 60, 22));
  link.restore_points.push_back(point(6 * mib + 50, 6 * mib + 60, 32));
  const Lineage lineage = lineage_of({link});
  const RetentionPlan plan = plan_retention({lineage}, {.keep_after = at(31)});
  ASSERT_THAT(plan.removals, SizeIs(2));
  EXPECT_EQ(plan.removals[0].segment, (Segment{1, 3}));
  EXPECT_EQ(plan.removals[1].segment, (Segment{1, 4}));
  EXPECT_EQ(plan.kept, 2);
  EXPECT_THAT(plan.reasons, ElementsAre("2 segments are needed from the restore point of 2026-03-01T12:22:00Z on"));

  const RetentionPlan old_ones = plan_retention({lineage}, {.keep_after = at(31), .older_than = at(15)});
  EXPECT_THAT(old_ones.removals, SizeIs(1));
  EXPECT_EQ(old_ones.kept, 0);
  EXPECT_THAT(old_ones.reasons, IsEmpty());
}

TEST(PlanRetention, KeepsWhatAChildNeedsOfAParentThatPromisesNothingAnyMore) {
  Lineage child = three_deep();
  child.links[0].ended_at = at(29);
  const Lineage ended = lineage_of({child.links[0]});
  const Lineage recovered = lineage_of({child.links[0], child.links[1]});
  const RetentionPlan plan = plan_retention({ended, recovered, child}, {.keep_after = at(40)});
  std::vector<std::uint64_t> removed;
  for (const Removal& removal : plan.removals) {
    EXPECT_EQ(removal.incarnation, child.links[0].incarnation);
    removed.push_back(removal.segment.number);
  }
  EXPECT_THAT(removed, ElementsAre(4, 5, 6));
}

TEST(PlanRetention, KeepsYoungSegmentsWhereThereIsNoRestorePointYet) {
  Link link = parent();
  link.restore_points.clear();
  const RetentionPlan plan = plan_retention({lineage_of({link})}, {.keep_after = at(25)});
  EXPECT_THAT(plan.removals, SizeIs(2));
  EXPECT_EQ(plan.kept, 2);
  EXPECT_THAT(plan.reasons, ElementsAre("2 segments are too young to go before there is a restore point"));
}

}  // namespace
}  // namespace pgtwig::archive
