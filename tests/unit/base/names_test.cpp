#include "base/names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace pgtwig {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(ProjectNames, AreShortLowerCaseWords) {
  for (const std::string& text : {std::string("a"), std::string("my-app_2"), std::string("0"), std::string(63, 'x')}) {
    auto name = ProjectName::parse(text);
    ASSERT_TRUE(name) << text;
    EXPECT_EQ(name->text(), text);
  }
  for (const std::string& text :
       {std::string(""), std::string(64, 'x'), std::string("My"), std::string("-a"), std::string("_a"),
        std::string("a.b"), std::string("a/b"), std::string("é"), std::string("a b"), std::string("a\0b", 3)}) {
    EXPECT_FALSE(ProjectName::parse(text)) << text;
  }
}

TEST(BranchNames, AcceptLettersAndDigitsOfAnyScript) {
  for (const std::string& text :
       {std::string("dev"), std::string("feature/new-api"), std::string("v1.2_rc"), std::string("42"),
        std::string("ветка/новая"), std::string("分支"), std::string("été"), std::string("हिन्दी"), std::string("a-"),
        std::string(200, 'x'), std::string("a.locks"), std::string("lock")}) {
    auto name = BranchName::parse(text);
    ASSERT_TRUE(name) << text << ": " << name.error();
    EXPECT_EQ(name->text(), text);
  }
}

TEST(BranchNames, SayWhichRuleIsBroken) {
  const std::pair<std::string, std::string> cases[] = {
      {"", "empty"},
      {std::string(201, 'x'), "200 bytes"},
      {"a b", "a space"},
      {"a~b", "'~'"},
      {"a@b", "'@'"},
      {"^parent", "'^'"},
      {"a\\b", "'\\'"},
      {"a\nb", "U+000A"},
      {"a\xe2\x80\x8b"
       "b",
       "U+200B"},
      {"a\xe2\x80\xae"
       "b",
       "U+202E"},
      {"\xf0\x9f\x98\x80", "U+1F600"},
      {"a\xff", "UTF-8"},
      {"a\xed\xa0\x80", "UTF-8"},
      {"a\xc0\xaf", "UTF-8"},
      {"a..b", "'..'"},
      {"a//b", "'//'"},
      {"/a", "begin or end with '/'"},
      {"a/", "begin or end with '/'"},
      {".a", "begin with '.'"},
      {"a/.b", "begin with '.'"},
      {"a.", "end with '.'"},
      {"a./b", "end with '.'"},
      {"-a", "begin with '-'"},
      {"a.lock", "'.lock'"},
      {"a.lock/b", "'.lock'"},
  };
  for (const auto& [text, rule] : cases) {
    auto name = BranchName::parse(text);
    ASSERT_FALSE(name) << text;
    EXPECT_THAT(name.error(), HasSubstr(rule)) << text;
  }
}

TEST(BranchNames, KnowMain) {
  EXPECT_TRUE(BranchName::main().is_main());
  EXPECT_FALSE(BranchName::parse("maint")->is_main());
}

// Whatever is accepted is safe to show, to split at '@' and to take apart at its slashes.
RC_GTEST_PROP(BranchNames, AcceptNothingThatCouldBeMistakenForSomethingElse, ()) {
  const auto pieces = rc::gen::elementOf(std::vector<std::string>{"a", "Z", "9", ".", "/", "-", "_", ".lock", "é", "@",
                                                                  "~", " ", "\n", "\xff", "\xe2\x80\xae", "[", "^"});
  std::string text;
  for (const std::string& piece : *rc::gen::resize(6, rc::gen::container<std::vector<std::string>>(pieces)))
    text += piece;
  auto name = BranchName::parse(text);
  if (!name) return;
  RC_ASSERT(text.find_first_of("@^~:?*[\\ \t\r\n") == text.npos);
  RC_ASSERT(!text.empty() && text.size() <= 200);
  RC_ASSERT(text.find("..") == text.npos && text.find("//") == text.npos);
  RC_ASSERT(std::string("./-").find(text.front()) == std::string::npos);
}

RC_GTEST_PROP(BranchNames, AcceptEveryRowOfPlainParts, ()) {
  const auto part = rc::gen::nonEmpty(rc::gen::container<std::string>(rc::gen::elementOf(std::string("abcXYZ019_"))));
  const auto parts = *rc::gen::resize(8, rc::gen::nonEmpty(rc::gen::container<std::vector<std::string>>(part)));
  std::string text;
  for (const std::string& one : parts) text += (text.empty() ? "" : "/") + one;
  RC_PRE(text.size() <= 200u);
  RC_ASSERT(BranchName::parse(text).has_value());
}

TEST(Lsns, AreTwoHexadecimalHalves) {
  EXPECT_EQ(format_lsn({0x16B3748}), "0/16B3748");
  EXPECT_EQ(parse_lsn("0/16B3748"), Lsn{0x16B3748});
  EXPECT_EQ(parse_lsn("a/ff"), (Lsn{0xA000000FF}));
  for (const char* text :
       {"", "/", "0/", "/0", "0", "123456789/0", "0/123456789", "0/x", "0x1/0", "-1/0", "0/ 1", "0/1/2"}) {
    EXPECT_FALSE(parse_lsn(text)) << text;
  }
}

RC_GTEST_PROP(Lsns, ReadBackAsWritten, (std::uint64_t value)) {
  RC_ASSERT((parse_lsn(format_lsn({value})) == Lsn{value}));
  RC_ASSERT((parse_point(format_lsn({value})) == Point(Lsn{value})));
}

TEST(Points, AreToldApartByTheirShape) {
  EXPECT_EQ(parse_point("now"), Point(Now{}));
  EXPECT_EQ(parse_point("10m"), Point(Ago{10min}));
  EXPECT_EQ(parse_point("10m ago"), Point(Ago{10min}));
  EXPECT_EQ(parse_point("2 hours ago"), Point(Ago{2h}));
  EXPECT_EQ(parse_point("0/16B3748"), Point(Lsn{0x16B3748}));
  EXPECT_EQ(parse_point("1970-01-01T00:00:01Z"), Point(TimePoint(1s)));
  EXPECT_EQ(parse_point("1970-01-01 00:00:01.5+00"), Point(TimePoint(1500ms)));
  EXPECT_EQ(parse_point("before-migration"), Point(SnapshotName{"before-migration"}));
  EXPECT_EQ(parse_point("v1.0"), Point(SnapshotName{"v1.0"}));
  EXPECT_EQ(parse_point("10mm"), Point(SnapshotName{"10mm"}));
  EXPECT_EQ(parse_point("2026-03-01-nightly"), Point(SnapshotName{"2026-03-01-nightly"}));
  EXPECT_EQ(parse_point("xid:748"), Point(TransactionPoint{748}));
  EXPECT_EQ(parse_point("xid:8589934592"), Point(TransactionPoint{8589934592}));
  EXPECT_EQ(parse_point("xid"), Point(SnapshotName{"xid"}));
  EXPECT_EQ(parse_point("restore-point:before v2 / müll"), Point(RestorePointName{"before v2 / müll"}));
  EXPECT_EQ(parse_point("restore-point:2 hours ago"), Point(RestorePointName{"2 hours ago"}));
  EXPECT_EQ(parse_point("restore-point"), Point(SnapshotName{"restore-point"}));
}

TEST(Points, AreRefusedWhenATransactionOrRestorePointIsMalformed) {
  for (const char* text : {"xid:", "xid:0", "xid:2", "xid:-5", "xid:x", "xid:7 ", "xid:18446744073709551616",
                           "restore-point:", "restore-point:a\nb"}) {
    EXPECT_FALSE(parse_point(text)) << text;
  }
  EXPECT_TRUE(parse_point("restore-point:" + std::string(63, 'x')));
  EXPECT_FALSE(parse_point("restore-point:" + std::string(64, 'x')));
  EXPECT_THAT(parse_point("xid:abc").error(), HasSubstr("xid:748"));
}

TEST(Points, AreRefusedWhenMalformed) {
  for (const char* text :
       {"", " ", " ago", "yesterday ago", "2 parsecs", "-10m", "2026-03-01", "2026-03-01T12:00:00",
        "2026-02-30T00:00:00Z", "0/XYZ", "a/x", "a@b", "what?", "a b", ".x", "0s ago", "tomorrow\n"}) {
    EXPECT_FALSE(parse_point(text)) << text;
  }
  EXPECT_THAT(parse_point("2026-03-01").error(), HasSubstr("a day, not a moment"));
  EXPECT_THAT(parse_point("demo/main@four").error(), HasSubstr("the moment alone is 'four'"));
  EXPECT_THAT(parse_point("demo/main@2 hours ago").error(), HasSubstr("the moment alone is '2 hours ago'"));
  EXPECT_THAT(parse_point("2026-03-01T12:00:00").error(), HasSubstr("time zone"));
}

TEST(BranchReferences, AreSplitAtTheFirstAtAndTheFirstSlash) {
  auto reference = parse_branch_reference("demo/feature/x@10m");
  ASSERT_TRUE(reference);
  EXPECT_EQ(reference->project, "demo");
  EXPECT_EQ(reference->branch_text, "feature/x");
  EXPECT_EQ(reference->point, Point(Ago{10min}));

  reference = parse_branch_reference("dev@2026-03-01T12:00:00+02:00");
  ASSERT_TRUE(reference);
  EXPECT_FALSE(reference->project);
  EXPECT_EQ(reference->branch_text, "dev");
  EXPECT_TRUE(std::holds_alternative<TimePoint>(reference->point));

  reference = parse_branch_reference("demo/dev@restore-point:a@b/c");
  ASSERT_TRUE(reference);
  EXPECT_EQ(reference->branch_text, "dev");
  EXPECT_EQ(reference->point, Point(RestorePointName{"a@b/c"}));

  reference = parse_branch_reference("demo/^parent");
  ASSERT_TRUE(reference);
  EXPECT_EQ(reference->branch_text, "^parent");
  EXPECT_EQ(reference->point, Point(Now{}));
}

TEST(BranchReferences, AreRefusedWhenAPartIsMissing) {
  for (const char* text : {"", "@", "@10m", "dev@", "/dev", "demo/", "demo/@10m", "dev@a@b"}) {
    EXPECT_FALSE(parse_branch_reference(text)) << text;
  }
}

RC_GTEST_PROP(BranchReferences, NeverInventNorLoseText, (const std::string& text)) {
  auto reference = parse_branch_reference(text);
  RC_PRE(reference.has_value());
  const std::string name = (reference->project ? *reference->project + "/" : "") + reference->branch_text;
  RC_ASSERT(text == name || text.starts_with(name + "@"));
}

TEST(NearestNames, ArePutInTheOrderOfLikeness) {
  const std::vector<std::string> names = {"main", "dev", "develop", "feature/new-api", "staging"};
  EXPECT_THAT(nearest_names("mian", names), ElementsAre("main"));
  EXPECT_THAT(nearest_names("devel", names), ElementsAre("dev", "develop"));
  EXPECT_THAT(nearest_names("feature/new-ap", names), ElementsAre("feature/new-api"));
  EXPECT_THAT(nearest_names("feature", names), ElementsAre("feature/new-api"));
  EXPECT_THAT(nearest_names("zzz", names), IsEmpty());
  EXPECT_THAT(nearest_names("", names), IsEmpty());
  EXPECT_THAT(nearest_names("branch-0", {"branch-1", "branch-2", "branch-3", "branch-4"}),
              ElementsAre("branch-1", "branch-2", "branch-3"));
}

}  // namespace
}  // namespace pgtwig
