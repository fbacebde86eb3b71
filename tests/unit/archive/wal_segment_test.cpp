// Names, numbers and page headers of segments.
#include "archive/wal_segment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "tests/unit/archive/made_segment.h"

namespace pgtwig::archive {
namespace {

using support::MadeSegment;
using ::testing::HasSubstr;

Bytes any_segment_size() {
  return Bytes{std::uint64_t{1} << *rc::gen::inRange(20, 31)};
}

TEST(SegmentName, IsWrittenAsPostgresqlDoes) {
  EXPECT_EQ(segment_name({1, 3}, 16_MiB), "000000010000000000000003");
  EXPECT_EQ(segment_name({0x1A, 0x1FF}, 16_MiB), "0000001A00000001000000FF");
  EXPECT_EQ(segment_name({1, 4096}, 1_MiB), "000000010000000100000000");
  EXPECT_EQ(segment_name({1, 5}, 1_GiB), "000000010000000100000001");
  EXPECT_EQ(history_name(0xAB), "000000AB.history");
}

RC_GTEST_PROP(SegmentName, ReadsBackAsItself, (std::uint32_t timeline, std::uint32_t high, std::uint64_t low)) {
  RC_PRE(timeline != 0u);
  const Bytes size = any_segment_size();
  const std::uint64_t per_log = (std::uint64_t{1} << 32) / size.count;
  const Segment segment{timeline, high * per_log + low % per_log};
  RC_ASSERT(parse_segment_name(segment_name(segment, size), size) == segment);
  RC_ASSERT(wal_file_kind(segment_name(segment, size)) == WalFileKind::segment);
  RC_ASSERT(segment_of(first_lsn(segment, size), size) == segment.number);
  RC_ASSERT(segment_of(Lsn{end_lsn(segment, size).value - 1}, size) == segment.number);
}

TEST(SegmentName, ThatNoSegmentOfThisSizeHasIsRefused) {
  EXPECT_TRUE(parse_segment_name("0000000100000000000000FF", 16_MiB));
  EXPECT_FALSE(parse_segment_name("000000010000000000000100", 16_MiB));
  EXPECT_TRUE(parse_segment_name("000000010000000000000FFF", 1_MiB));
  EXPECT_FALSE(parse_segment_name("000000010000000000000004", 1_GiB));
  for (const char* name : {"", "00000001000000000000000", "0000000100000000000000001", "00000001000000000000000g",
                           "00000001000000000000000a", "000000000000000000000001", " 00000010000000000000001",
                           "000000010000000000000001.partial", "-00000010000000000000001"}) {
    EXPECT_FALSE(parse_segment_name(name, 16_MiB)) << name;
  }
}

TEST(WalFileKind, KnowsWhatPostgresqlArchivesAndNothingElse) {
  EXPECT_EQ(wal_file_kind("000000010000000000000003"), WalFileKind::segment);
  EXPECT_EQ(wal_file_kind("000000010000000000000003.partial"), WalFileKind::partial);
  EXPECT_EQ(wal_file_kind("00000002.history"), WalFileKind::history);
  EXPECT_EQ(wal_file_kind("000000010000000000000003.00000028.backup"), WalFileKind::backup_label);
  for (const char* name : {"", ".", "..", "000000010000000000000003.", "000000010000000000000003.partial2",
                           "00000002.history/..", "00000000.history", "0000002.history", "00000002.HISTORY",
                           "000000010000000000000003.28.backup", "000000010000000000000003.0000002g.backup",
                           "../000000010000000000000003", ".tmp-1-000000010000000000000003", "postgresql.conf"}) {
    EXPECT_FALSE(wal_file_kind(name)) << name;
  }
}

TEST(CheckSegment, AcceptsAWholeOneOfEveryVersion) {
  for (const std::uint16_t magic : {0xD10D, 0xD110, 0xD113, 0xD116, 0xD118}) {
    MadeSegment made({.magic = magic});
    EXPECT_TRUE(check_segment(made.fd(), made.expected())) << std::hex << magic;
    const auto facts = read_segment_facts(made.fd());
    ASSERT_TRUE(facts);
    EXPECT_EQ(facts->system_identifier, made.options().system_identifier);
    EXPECT_EQ(facts->segment_size, 1_MiB);
    EXPECT_EQ(facts->timeline, 1u);
  }
}

std::string problem_of(const MadeSegment& made, const ExpectedSegment& expected) {
  const auto checked = check_segment(made.fd(), expected);
  return checked ? "" : checked.error();
}

TEST(CheckSegment, SaysWhatIsWrong) {
  MadeSegment made({});
  ExpectedSegment other_cluster = made.expected();
  other_cluster.system_identifier = 7;
  EXPECT_THAT(problem_of(made, other_cluster), HasSubstr("it is of another cluster"));
  ExpectedSegment other_place = made.expected();
  other_place.segment.number += 1;
  EXPECT_THAT(problem_of(made, other_place), HasSubstr("its page at 0/400000 is one of 0/300000"));
  ExpectedSegment other_size = made.expected();
  other_size.segment_size = 16_MiB;
  EXPECT_THAT(problem_of(made, other_size), HasSubstr("it is truncated"));

  MadeSegment short_one({});
  short_one.truncate(1000 * 1024);
  EXPECT_THAT(problem_of(short_one, short_one.expected()), HasSubstr("it is truncated: 1024000 of 1048576 bytes"));
  short_one.truncate(10);
  EXPECT_FALSE(read_segment_facts(short_one.fd()));
  MadeSegment long_one({});
  long_one.truncate(1048576 + 1);
  EXPECT_THAT(problem_of(long_one, long_one.expected()), HasSubstr("another size"));
  MadeSegment unknown({.magic = 0xD0FF});
  EXPECT_THAT(problem_of(unknown, unknown.expected()), HasSubstr("does not begin like a WAL segment"));
}

TEST(CheckSegment, FindsEveryDamagedPage) {
  for (int page = 1; page < 128; ++page) {
    MadeSegment made({});
    made.zero_page(page);
    EXPECT_THAT(problem_of(made, made.expected()), HasSubstr("is damaged or was never written")) << page;
  }
}

TEST(CheckSegment, LooksNoFurtherThanWasWritten) {
  MadeSegment made({.written_pages = 3});
  EXPECT_THAT(problem_of(made, made.expected()), HasSubstr("its page at 0/306000"));
  ExpectedSegment until = made.expected();
  until.until = Lsn{0x306000};
  EXPECT_EQ(problem_of(made, until), "");
  until.until = Lsn{0x306001};
  EXPECT_NE(problem_of(made, until), "");
}

// The first segment of a timeline begins with a copy of what the one before wrote.
TEST(CheckSegment, MayBeginWithPagesOfAnOlderTimelineAndNeverGoBackToOne) {
  MadeSegment made({.timeline = 3, .old_timeline_pages = 5, .old_timeline = 2});
  EXPECT_EQ(problem_of(made, made.expected()), "");
  made.set_timeline(9, 2);
  EXPECT_THAT(problem_of(made, made.expected()), HasSubstr("is of timeline 2 instead of 3"));
  MadeSegment newer({.timeline = 3});
  ExpectedSegment older = newer.expected();
  older.segment.timeline = 2;
  EXPECT_THAT(problem_of(newer, older), HasSubstr("is of timeline 3 instead of 2"));
}

TEST(FindLastPage, IsWhereOlderBytesOrZerosBegin) {
  MadeSegment zeros({.written_pages = 3});
  auto last = find_last_page(zeros.fd(), {1, 3}, 1_MiB);
  ASSERT_TRUE(last && *last);
  EXPECT_EQ((*last)->value, 0x304000u);
  MadeSegment recycled({});
  recycled.set_address(2, 0x104000);
  last = find_last_page(recycled.fd(), {1, 3}, 1_MiB);
  ASSERT_TRUE(last && *last);
  EXPECT_EQ((*last)->value, 0x302000u);
  MadeSegment whole({});
  last = find_last_page(whole.fd(), {1, 3}, 1_MiB);
  ASSERT_TRUE(last);
  EXPECT_FALSE(*last);
  EXPECT_FALSE(find_last_page(whole.fd(), {1, 4}, 1_MiB));
}

}  // namespace
}  // namespace pgtwig::archive
