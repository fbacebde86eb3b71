// The syntax of postgresql.conf.
#include "postgres/configuration_file.h"

#include <gtest/gtest.h>

namespace pgtwig::postgres {
namespace {

std::string value_of(std::string_view text) {
  const auto lines = parse_configuration(text);
  return lines.size() == 1 ? lines.front().name + "|" + lines.front().value : std::to_string(lines.size());
}

TEST(ConfigurationLine, IsReadAsPostgresReadsIt) {
  EXPECT_EQ(value_of("work_mem = 4MB"), "work_mem|4MB");
  EXPECT_EQ(value_of("work_mem 4MB"), "work_mem|4MB");
  EXPECT_EQ(value_of("  Work_Mem=4MB# comment"), "work_mem|4MB");
  EXPECT_EQ(value_of("a.b = 'x y # z' # comment"), "a.b|x y # z");
  EXPECT_EQ(value_of("x = 'it''s'"), "x|it's");
  EXPECT_EQ(value_of("x = 'it\\'s'"), "x|it's");
  EXPECT_EQ(value_of("x = ''\r"), "x|");
  EXPECT_EQ(value_of("include '/etc/passwd'"), "include|/etc/passwd");
  EXPECT_EQ(value_of("include'/etc/passwd'"), "include|/etc/passwd");
  EXPECT_EQ(value_of("# work_mem = 4MB"), "0");
  EXPECT_EQ(value_of(""), "0");
  EXPECT_EQ(value_of("work_mem ="), "0");
}

TEST(ConfigurationLine, KnowsItsNumber) {
  const auto lines = parse_configuration("\n# x\na = 1\n\nb = 2");
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0].line, 3);
  EXPECT_EQ(lines[1].line, 5);
}

}  // namespace
}  // namespace pgtwig::postgres
