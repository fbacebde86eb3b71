// The syntax of postgresql.conf.
#include "postgres/configuration_file.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/fs.h"
#include "tests/support/temporary_directory.h"

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

TEST(ConfigurationOfADataDirectory, EndsThoughItsFilesIncludeEachOtherManyTimes) {
  pgtwig::support::TemporaryDirectory directory;
  std::string includes;
  for (int i = 0; i < 20; ++i) includes += "include 'b/" + std::to_string(i % 2) + ".conf'\n";
  std::filesystem::create_directory(directory / "b");
  write_file(directory / "postgresql.conf", includes);
  write_file(directory / "b" / "0.conf", "include_dir 'c'\n");
  write_file(directory / "b" / "1.conf", "include_dir 'c'\n");
  std::filesystem::create_directory(directory / "b" / "c");
  for (int i = 0; i < 100; ++i) write_file(directory / "b" / "c" / (std::to_string(i) + ".conf"), "work_mem = '1MB'\n");
  try {
    read_configuration(open_directory(directory.path()).get());
    ADD_FAILURE() << "it read 2020 files";
  } catch (const Error& error) {
    EXPECT_NE(error.message().find("more than 1000 files"), std::string::npos) << error.message();
  }
}

}  // namespace
}  // namespace pgtwig::postgres
