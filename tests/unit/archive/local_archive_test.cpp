// The directories of an archive, as one finds them whose maker was interrupted.
#include "archive/local_archive.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "tests/support/postgres_user.h"
#include "tests/support/temporary_directory.h"

namespace pgtwig::archive {
namespace {

class LocalArchiveTest : public ::testing::Test {
 protected:
  static struct stat status_of(const std::filesystem::path& path) {
    struct stat status{};
    if (::lstat(path.c_str(), &status) != 0) throw system_error(errno, "cannot look at " + path.string());
    return status;
  }
  static mode_t mode_of(const std::filesystem::path& path) { return status_of(path).st_mode & 07777; }

  pgtwig::support::TemporaryDirectory ground_;
  OsUser user_ = pgtwig::support::postgres_user();
  LocalArchive archive_{archive_directory(ground_.path(), IncarnationId::random())};
};

// Who made it was ended before it had its mode and its owner.
TEST_F(LocalArchiveTest, WhatWasHalfMadeIsFinished) {
  std::filesystem::create_directories(archive_.segments());
  for (const auto& made : {archive_.directory().parent_path(), archive_.directory(), archive_.segments()}) {
    std::filesystem::permissions(made, std::filesystem::perms(0700));
  }
  std::filesystem::permissions(archive_.segments(), std::filesystem::perms(0500));

  archive_.make(user_);

  EXPECT_EQ(mode_of(archive_.directory().parent_path()), 0711U);
  EXPECT_EQ(mode_of(archive_.directory()), 0711U);
  EXPECT_EQ(mode_of(archive_.segments()), 0700U);
  EXPECT_EQ(status_of(archive_.segments()).st_uid, user_.uid);
  EXPECT_EQ(status_of(archive_.segments()).st_gid, user_.gid);
}

TEST_F(LocalArchiveTest, ALinkInThePlaceOfADirectoryIsRefusedAndNotFollowed) {
  std::filesystem::create_directories(archive_.directory());
  const std::filesystem::path elsewhere = ground_.path() / "elsewhere";
  std::filesystem::create_directory(elsewhere);
  std::filesystem::permissions(elsewhere, std::filesystem::perms(0755));
  std::filesystem::create_symlink(elsewhere, archive_.segments());

  EXPECT_THROW(archive_.make(user_), Error);

  EXPECT_EQ(mode_of(elsewhere), 0755U);
  EXPECT_EQ(status_of(elsewhere).st_uid, ::geteuid());
}

}  // namespace
}  // namespace pgtwig::archive
