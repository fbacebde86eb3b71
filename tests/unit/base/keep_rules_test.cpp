#include "base/keep_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgtwig {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(KeepRules, AreReadInTheOrderTheyAreWritten) {
  const auto rules = parse_keep_rules("24h,14d, 8w,5m");
  ASSERT_TRUE(rules);
  EXPECT_THAT(*rules, ElementsAre(KeepRule{1h, 24}, KeepRule{24h, 14}, KeepRule{168h, 8}, KeepRule{1min, 5}));
}

TEST(KeepRules, AreRefusedWithAnExampleWhenMalformed) {
  for (const char* text : {"", ",", "24", "h", "24h,", ",24h", "0d", "-1d", "24h 7d", "1.5h", "24H"}) {
    const auto rules = parse_keep_rules(text);
    ASSERT_FALSE(rules) << text;
    EXPECT_THAT(rules.error(), HasSubstr("24h,14d,8w"));
  }
  EXPECT_THAT(parse_keep_rules("2000h").error(), HasSubstr("too many"));
}

}  // namespace
}  // namespace pgtwig
