// Ids, times, durations and sizes: what is written as text and read back.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <set>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/time.h"

namespace pgtwig {
namespace {

using namespace std::chrono_literals;

TimePoint at(std::chrono::year_month_day date, std::chrono::microseconds time) {
  return std::chrono::sys_days(date) + time;
}

TEST(Ids, AreThirtyTwoHexadecimalDigitsAndNeverTheSame) {
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const std::string text = random_hex_128();
    EXPECT_TRUE(is_hex_128(text)) << text;
    seen.insert(text);
  }
  EXPECT_EQ(seen.size(), 1000u);
}

TEST(Ids, AreRefusedInAnyOtherShape) {
  EXPECT_FALSE(BranchId::parse(""));
  EXPECT_FALSE(BranchId::parse("0123456789abcdef0123456789abcde"));
  EXPECT_FALSE(BranchId::parse("0123456789ABCDEF0123456789abcdef"));
  EXPECT_FALSE(BranchId::parse("0123456789abcdef0123456789abcdeg"));
  ASSERT_TRUE(BranchId::parse("0123456789abcdef0123456789abcdef"));
  EXPECT_EQ(BranchId::parse("0123456789abcdef0123456789abcdef")->brief(), "0123456789ab");
}

TEST(Passwords, HaveTheLengthAskedForAndUseTheWholeAlphabet) {
  EXPECT_EQ(random_password(0), "");
  const std::string password = random_password(5000);
  EXPECT_EQ(password.size(), 5000u);
  const std::set<char> letters(password.begin(), password.end());
  EXPECT_EQ(letters.size(), 62u);
  for (char letter : letters) EXPECT_TRUE(std::isalnum(static_cast<unsigned char>(letter))) << letter;
}

TEST(Rfc3339, IsWrittenInUtcWithAFractionOnlyWhenThereIsOne) {
  using namespace std::chrono;
  EXPECT_EQ(format_rfc3339(at(2026y / March / 1, 12h)), "2026-03-01T12:00:00Z");
  EXPECT_EQ(format_rfc3339(at(2026y / March / 1, 12h + 123456us)), "2026-03-01T12:00:00.123456Z");
  EXPECT_EQ(format_rfc3339(at(1969y / December / 31, 23h + 59min + 59s + 1us)), "1969-12-31T23:59:59.000001Z");
}

TEST(Rfc3339, ReadsZonesFractionsAndWhatPostgresqlPrints) {
  using namespace std::chrono;
  const TimePoint noon = at(2026y / March / 1, 12h);
  EXPECT_EQ(parse_rfc3339("2026-03-01T12:00:00Z"), noon);
  EXPECT_EQ(parse_rfc3339("2026-03-01t12:00:00z"), noon);
  EXPECT_EQ(parse_rfc3339("2026-03-01T14:00:00+02:00"), noon);
  EXPECT_EQ(parse_rfc3339("2026-03-01T08:30:00-03:30"), noon);
  EXPECT_EQ(parse_rfc3339("2026-03-01 13:00:00+01"), noon);
  EXPECT_EQ(parse_rfc3339("2026-03-01 12:00:00 +0000"), noon);
  EXPECT_EQ(parse_rfc3339("2026-03-01T12:00:00.5Z"), noon + 500ms);
  EXPECT_EQ(parse_rfc3339("2026-03-01T12:00:00.123456789Z"), noon + 123456us);
  EXPECT_EQ(parse_rfc3339("2026-02-28T23:59:60Z"), at(2026y / March / 1, 0h));
}

TEST(Rfc3339, RefusesATimeWithoutAZoneAndSaysWhy) {
  auto time = parse_rfc3339("2026-03-01T12:00:00");
  ASSERT_FALSE(time);
  EXPECT_NE(time.error().find("time zone"), std::string::npos) << time.error();
}

TEST(Rfc3339, RefusesWhatIsNoTime) {
  for (const char* text :
       {"", "now", "2026-03-01", "2026-02-30T00:00:00Z", "2026-13-01T00:00:00Z", "2026-03-01T24:00:00Z",
        "2026-03-01T00:60:00Z", "2026-03-01T00:00:61Z", "2026-03-01T00:00:00.Z", "2026-03-01T00:00:00Zjunk",
        "2026-03-01T00:00:00+24:00", "2026-03-01T00:00:00+2", "26-03-01T00:00:00Z", "2026-3-01T00:00:00Z",
        "0000-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"}) {
    EXPECT_FALSE(parse_rfc3339(text)) << text;
  }
}

RC_GTEST_PROP(Rfc3339, ReadsBackEveryTimeThatItWrites, ()) {
  // From the year 0 to the end of 9999, in microseconds from 1970.
  const auto microseconds = *rc::gen::inRange<std::int64_t>(-62'167'219'200'000'000, 253'402'300'800'000'000);
  const TimePoint time{std::chrono::microseconds(microseconds)};
  RC_ASSERT((parse_rfc3339(format_rfc3339(time)) == time));
}

TEST(Durations, AreReadAsPeopleWriteThem) {
  EXPECT_EQ(parse_duration("90s"), 90s);
  EXPECT_EQ(parse_duration("10m"), 10min);
  EXPECT_EQ(parse_duration("2h"), 2h);
  EXPECT_EQ(parse_duration("3d"), 72h);
  EXPECT_EQ(parse_duration("1w"), 168h);
  EXPECT_EQ(parse_duration("2 hours"), 2h);
  EXPECT_EQ(parse_duration("1 day"), 24h);
  EXPECT_EQ(parse_duration("1h 30m"), 90min);
  EXPECT_EQ(parse_duration("1h30m"), 90min);
}

TEST(Durations, AreRefusedWhenTheyAreNoneOrNothingOrForEver) {
  for (const char* text : {"", "10", "m", "-10m", "1.5h", "10 parsecs", "10m!", "0s", "0h 0m", "99999999999999999999s",
                           "36501d", "10M", " 10m"}) {
    EXPECT_FALSE(parse_duration(text)) << text;
  }
  EXPECT_TRUE(parse_duration("36500d"));
}

TEST(Durations, AreWrittenInTwoUnitsAtMost) {
  EXPECT_EQ(format_duration(0s), "0s");
  EXPECT_EQ(format_duration(59s), "59s");
  EXPECT_EQ(format_duration(2h), "2h");
  EXPECT_EQ(format_duration(76h), "3d 4h");
  EXPECT_EQ(format_duration(24h + 5s), "1d");
  EXPECT_EQ(format_duration(-90s), "-1m 30s");
}

RC_GTEST_PROP(Durations, ReadBackAsWrittenButForTheUnitsLeftOut, ()) {
  const std::chrono::seconds duration(*rc::gen::inRange<std::int64_t>(1, 36'500LL * 86'400));
  auto read = parse_duration(format_duration(duration));
  RC_ASSERT(read.has_value());
  RC_ASSERT(*read <= duration);
  const auto left_out = duration - *read;
  RC_ASSERT(left_out < (duration >= 24h ? 1h : duration >= 1h ? 1min : 1s));
}

TEST(Sizes, AreWrittenWithOneDigitWhereItSaysSomething) {
  EXPECT_EQ(format_bytes({0}), "0 B");
  EXPECT_EQ(format_bytes({1023}), "1023 B");
  EXPECT_EQ(format_bytes(384_KiB), "384 KiB");
  EXPECT_EQ(format_bytes({1288490189}), "1.2 GiB");
  EXPECT_EQ(format_bytes({(1u << 20) - 1}), "1 MiB");
  EXPECT_EQ(format_bytes(60_GiB), "60 GiB");
  EXPECT_EQ(format_bytes({~0ull}), "16 EiB");
}

TEST(Sizes, AreReadInPowersOf1024) {
  EXPECT_EQ(parse_bytes("60G"), 60_GiB);
  EXPECT_EQ(parse_bytes("512MiB"), 512_MiB);
  EXPECT_EQ(parse_bytes("512mb"), 512_MiB);
  EXPECT_EQ(parse_bytes("1073741824B"), 1_GiB);
  EXPECT_EQ(parse_bytes("1.5 GiB"), 1536_MiB);
  EXPECT_EQ(parse_bytes("7b"), Bytes{7});
  EXPECT_EQ(parse_bytes("4T"), 4096_GiB);
  EXPECT_EQ(parse_bytes("0"), Bytes{0});
}

TEST(Sizes, AreRefusedWhenTheyAreNoneOrTooLarge) {
  for (const char* text : {"", "G", "-1G", "60X", "60GG", "1.G", "1.2345G", "1.5", "1.5B", "1 2",
                           "99999999999999999999", "99999999P", "0x10", "60G "}) {
    EXPECT_FALSE(parse_bytes(text)) << text;
  }
}

// Who writes 4 may mean 4 GiB as well as 4 MiB, and hardly four bytes.
TEST(Sizes, AreRefusedWithoutAUnit) {
  for (const char* text : {"4", "20", "4294967296", "00"}) {
    const auto size = parse_bytes(text);
    ASSERT_FALSE(size) << text;
    EXPECT_NE(size.error().find("unit"), std::string::npos) << size.error();
  }
}

TEST(Sizes, ArePostgresOwnWhereItIsSaid) {
  EXPECT_EQ(parse_postgres_memory("16MB"), 16_MiB);
  EXPECT_EQ(parse_postgres_memory("16 MB"), 16_MiB);
  EXPECT_EQ(parse_postgres_memory("16"), 128_KiB);
  EXPECT_EQ(parse_postgres_memory("131072B"), 128_KiB);
  EXPECT_EQ(parse_postgres_memory("1GB"), 1_GiB);
  for (const char* text : {"", "MB", "16mb", "16M", "16 MB ", "-1", "20000000TB"}) {
    EXPECT_FALSE(parse_postgres_memory(text)) << text;
  }
}

RC_GTEST_PROP(Sizes, ReadBackWithinTheDigitsThatWereWritten, ()) {
  const Bytes size{*rc::gen::inRange<std::uint64_t>(0, 1ull << 50)};
  auto read = parse_bytes(format_bytes(size));
  RC_ASSERT(read.has_value());
  const auto difference = read->count > size.count ? read->count - size.count : size.count - read->count;
  RC_ASSERT(difference <= size.count / 20);
}

}  // namespace
}  // namespace pgtwig
