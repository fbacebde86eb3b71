// What a server's program says of the libraries that sort its texts.
#include "postgres/server_facts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/fs.h"
#include "tests/support/errors.h"
#include "tests/support/temporary_directory.h"

namespace pgtwig::postgres {
namespace {

using pgtwig::support::error_of;
using pgtwig::support::TemporaryDirectory;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

TEST(CollationsOf, AProgramAreFoundWhereverItNamesItsLibraries) {
  const TemporaryDirectory directory;
  const auto program = directory / "postgres";
  const std::string words = "libicui18n.so.72";
  // It is read in pieces of 64 KiB, and the words may lie on both sides of a border.
  for (std::size_t before = (1u << 16) - words.size() - 40; before <= (1u << 16) + 40; ++before) {
    write_file(program, std::string(before, 'x') + words + '\0' + std::string(100'000, 'x'));
    EXPECT_THAT(collations_of(program), EndsWith(", ICU 72")) << before;
  }
  write_file(program, words);
  EXPECT_THAT(collations_of(program), MatchesRegex("glibc [0-9.]+, ICU 72"));
}

TEST(CollationsOf, AProgramMayBeThoseOfMusl) {
  const TemporaryDirectory directory;
  write_file(directory / "postgres",
             std::string(200'000, 'x') + "/lib/ld-musl-x86_64.so.1" + std::string(200'000, 'x'));
  EXPECT_EQ(collations_of(directory / "postgres"), "musl");
}

TEST(CollationsOf, AProgramThatCannotBeReadAreAnError) {
  const TemporaryDirectory directory;
  EXPECT_THAT(error_of([&] { collations_of(directory / "missing"); }).message(), HasSubstr("cannot read"));
  EXPECT_THAT(error_of([&] { collations_of(directory.path()); }).message(), HasSubstr("cannot read"));
}

}  // namespace
}  // namespace pgtwig::postgres
