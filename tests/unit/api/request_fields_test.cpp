// The fields of requests: types, ranges, and names that nobody asked for.
#include "api/request_fields.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/support/errors.h"

namespace pgtwig::api {
namespace {

using pgtwig::support::error_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(BodyFields, AreTakenByTheirTypes) {
  BodyFields fields(
      R"({"name":"dev","start":false,"port":6001,"allow":["a","b"],"size":"2K","count":7,
          "settings":{"work_mem":"64MB","max_connections":50,"autovacuum":true}})");
  EXPECT_EQ(fields.text("name"), "dev");
  EXPECT_FALSE(fields.flag("start", true));
  EXPECT_EQ(fields.number("port", 1, 65535), 6001);
  EXPECT_THAT(fields.texts("allow"), ElementsAre("a", "b"));
  EXPECT_EQ(fields.bytes("size"), 2048u);
  EXPECT_EQ(fields.bytes("count"), 7u);
  EXPECT_THAT(
      fields.settings("settings"),
      ElementsAre(std::pair("autovacuum", "on"), std::pair("max_connections", "50"), std::pair("work_mem", "64MB")));
  fields.finish();
}

TEST(BodyFields, MayBeMissingOrNull) {
  for (const char* body : {"", "{}", R"({"name":null,"start":null,"port":null,"allow":null,"settings":null})"}) {
    BodyFields fields(body);
    EXPECT_FALSE(fields.text("name"));
    EXPECT_TRUE(fields.flag("start", true));
    EXPECT_FALSE(fields.number("port", 1, 65535));
    EXPECT_TRUE(fields.texts("allow").empty());
    EXPECT_TRUE(fields.settings("settings").empty());
    fields.finish();
    EXPECT_EQ(error_of([&] { fields.required_text("name"); }).message(), "'name' is missing");
  }
}

TEST(BodyFields, OfAnotherTypeAreRefusedByName) {
  BodyFields fields(
      R"({"name":5,"start":"yes","port":0,"fraction":1.5,"allow":["a",1],"settings":{"a":[]},"size":"much"})");
  EXPECT_THAT(error_of([&] { fields.text("name"); }).message(), HasSubstr("'name'"));
  EXPECT_THAT(error_of([&] { fields.flag("start", true); }).message(), HasSubstr("'start'"));
  EXPECT_THAT(error_of([&] { fields.number("port", 1, 65535); }).message(), HasSubstr("from 1 to 65535"));
  EXPECT_THAT(error_of([&] { fields.number("fraction", 1, 9); }).message(), HasSubstr("'fraction'"));
  EXPECT_THAT(error_of([&] { fields.texts("allow"); }).message(), HasSubstr("'allow'"));
  EXPECT_THAT(error_of([&] { fields.settings("settings"); }).message(), HasSubstr("'settings'"));
  EXPECT_THAT(error_of([&] { fields.bytes("size"); }).message(), HasSubstr("'size'"));
}

TEST(BodyFields, ThatNobodyAskedForAreRefusedWithTheNearestName) {
  BodyFields fields(R"({"name":"dev","durabillity":"none"})");
  fields.text("name");
  fields.text("durability");
  Error error = error_of([&] { fields.finish(); });
  EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
  EXPECT_THAT(error.message(), HasSubstr("durabillity"));
  EXPECT_THAT(error.hint(), HasSubstr("durability"));
}

TEST(BodyFields, AreRefusedWhenTheyAreNoJsonObject) {
  for (const char* body : {"nonsense", "[]", "5", "{", "{\"a\":1}x"}) {
    EXPECT_EQ(error_of([&] { BodyFields fields(body); }).code(), ErrorCode::invalid_argument) << body;
  }
}

TEST(QueryFields, AreFlagsNumbersAndTexts) {
  std::map<std::string, std::string> query{{"force", ""}, {"cascade", "true"}, {"if_exists", "0"}, {"limit", "12"}};
  QueryFields fields(query);
  EXPECT_TRUE(fields.flag("force"));
  EXPECT_TRUE(fields.flag("cascade"));
  EXPECT_FALSE(fields.flag("if_exists"));
  EXPECT_FALSE(fields.flag("absent"));
  EXPECT_EQ(fields.number("limit", 1, 100), 12);
  fields.finish();
}

TEST(QueryFields, AreRefusedWhenTheyAreWrongOrUnknown) {
  std::map<std::string, std::string> query{{"force", "maybe"}, {"limit", "12x"}};
  QueryFields fields(query);
  EXPECT_EQ(error_of([&] { fields.flag("force"); }).code(), ErrorCode::invalid_argument);
  EXPECT_EQ(error_of([&] { fields.number("limit", 1, 100); }).code(), ErrorCode::invalid_argument);
  QueryFields others(query);
  others.flag("forse");
  EXPECT_THAT(error_of([&] { others.finish(); }).message(), HasSubstr("force"));
}

}  // namespace
}  // namespace pgtwig::api
