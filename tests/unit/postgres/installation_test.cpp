// Finding the servers of a machine.
#include "postgres/installation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/fs.h"
#include "tests/support/temporary_directory.h"

namespace pgtwig::postgres {
namespace {

using ::testing::HasSubstr;

class Installations : public ::testing::Test {
 protected:
  // A bin directory whose programs are scripts.
  std::string make(const std::string& directory, const std::string& version) {
    const auto bin = temporary.path() / directory;
    make_directories(bin);
    write_file(bin / "postgres", "#!/bin/sh\necho 'postgres (PostgreSQL) " + version + "'\n", 0755);
    write_file(bin / "initdb", "#!/bin/sh\n", 0755);
    return bin;
  }
  std::string top() const { return temporary.path(); }
  pgtwig::support::TemporaryDirectory temporary;
};

const Installation* find_major(const std::vector<Installation>& all, int major) {
  for (const Installation& one : all) {
    if (one.major == major) return &one;
  }
  return nullptr;
}

TEST_F(Installations, AreFoundInBinDirectoriesAndAboveThemNewestFirst) {
  make("90/bin", "90.2 (Debian 90.2-1)");
  make("91/bin", "91beta1");
  const std::string other = make("other", "89.10");
  const auto all = find_installations({top(), other});
  ASSERT_GE(all.size(), 3u);
  EXPECT_EQ(all[0].major, 91);
  EXPECT_EQ(all[0].version, "91beta1");
  EXPECT_EQ(all[1].version, "90.2");
  EXPECT_EQ(all[1].directory, temporary.path() / "90" / "bin");
  EXPECT_EQ(all[2].version, "89.10");
  EXPECT_EQ(all[2].program("postgres"), std::filesystem::path(other) / "postgres");
}

TEST_F(Installations, OfOneMajorVersionTheFirstNamedCounts) {
  const std::string first = make("first", "90.1");
  const std::string second = make("second", "90.9");
  EXPECT_EQ(find_major(find_installations({first, second}), 90)->version, "90.1");
  EXPECT_EQ(find_major(find_installations({second, first}), 90)->version, "90.9");
}

TEST_F(Installations, NeedAServerAndInitdbThatRun) {
  const std::string without_initdb = make("a", "90.1");
  std::filesystem::remove(temporary.path() / "a" / "initdb");
  const std::string broken = make("b", "91.1");
  write_file(temporary.path() / "b" / "postgres", "#!/bin/sh\nexit 1\n", 0755);
  const auto all = find_installations({without_initdb, broken, "/no/such/directory"});
  EXPECT_EQ(find_major(all, 90), nullptr);
  EXPECT_EQ(find_major(all, 91), nullptr);
}

TEST_F(Installations, AreAskedAgainWhenTheFileChanged) {
  const std::string bin = make("a", "90.1");
  EXPECT_EQ(find_major(find_installations({bin}), 90)->version, "90.1");
  make("a", "90.2");
  EXPECT_EQ(find_major(find_installations({bin}), 90)->version, "90.2");
}

TEST(RequiredInstallation, IsTheNewestOrTheOneAskedFor) {
  const std::vector<Installation> all = {{.major = 17, .version = "17.2", .directory = "/a"},
                                         {.major = 15, .version = "15.9", .directory = "/b"}};
  EXPECT_EQ(require_installation(all, std::nullopt).major, 17);
  EXPECT_EQ(require_installation(all, 15).version, "15.9");
  try {
    require_installation(all, 16);
    ADD_FAILURE() << "there is no 16";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::not_found);
    EXPECT_THAT(error.message(), HasSubstr("17.2, 15.9"));
    EXPECT_THAT(error.hint(), HasSubstr("postgresql-16"));
  }
  EXPECT_THROW(require_installation({}, std::nullopt), Error);
}

}  // namespace
}  // namespace pgtwig::postgres
