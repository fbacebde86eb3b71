#include <gtest/gtest.h>

#include "base/text.h"

namespace pgtwig {
namespace {

using namespace std::string_view_literals;

TEST(ValidUtf8, LeavesTextAsItIs) {
  EXPECT_EQ(valid_utf8(""), "");
  EXPECT_EQ(valid_utf8("Grüße, 世界 \xf0\x9f\x8c\xbf\n\ttab\x1b[31m"), "Grüße, 世界 \xf0\x9f\x8c\xbf\n\ttab\x1b[31m");
  EXPECT_EQ(valid_utf8("zero \0 inside"sv), "zero \0 inside"sv);
}

TEST(ValidUtf8, ShowsBytesThatAreNone) {
  EXPECT_EQ(valid_utf8("caf\xe9"), "caf\\xe9");
  EXPECT_EQ(valid_utf8("\xff\xfe end"), "\\xff\\xfe end");
  EXPECT_EQ(valid_utf8("cut \xe4\xb8"), "cut \\xe4\\xb8");
  EXPECT_EQ(valid_utf8("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // half of a surrogate pair
  EXPECT_EQ(valid_utf8("\xc0\xaf"), "\\xc0\\xaf");           // longer than it need be
}

TEST(OnOneLine, ShowsWhatEndsALineOrSteersATerminal) {
  EXPECT_EQ(on_one_line("first\nsecond\r\x1b[31mred\x7f\t."), "first\\nsecond\\x0d\\x1b[31mred\\x7f\\x09.");
  EXPECT_EQ(on_one_line("\xc2\x9b"
                        "31m"),
            "\\xc2\\x9b"
            "31m");  // CSI as one character
  EXPECT_EQ(on_one_line("zero \0 inside"sv), "zero \\x00 inside");
  EXPECT_EQ(on_one_line("Grüße caf\xe9"), "Grüße caf\\xe9");
}

}  // namespace
}  // namespace pgtwig
