// What the archive promises of a file system, on real ones: shared blocks, a power failure, a full disk.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "archive/local_archive.h"
#include "base/error.h"
#include "tests/contract/storage/test_file_system.h"
#include "tests/unit/archive/made_segment.h"

namespace pgtwig::archive {
namespace {

using pgtwig::support::FileSystemKind;
using pgtwig::support::TestFileSystem;
using support::made_segment_bytes;
using support::made_segment_size;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class ArchiveOn : public ::testing::TestWithParam<FileSystemKind> {
 protected:
  void SetUp() override {
    if (const std::string why = pgtwig::support::why_no_file_system(GetParam()); !why.empty()) GTEST_SKIP() << why;
    file_system_.emplace(GetParam());
    archive_.emplace(archive_directory(file_system_->path(), IncarnationId::random()));
    archive_->make(OsUser::current());
    make_directories(pg_wal());
  }

  bool shares_blocks() const { return GetParam() == FileSystemKind::btrfs || GetParam() == FileSystemKind::xfs; }
  std::filesystem::path pg_wal() const { return file_system_->path() / "pg_wal"; }
  static std::string name_of(std::uint64_t number) { return segment_name({1, number}, made_segment_size); }
  // A segment in pg_wal, on disk, as it is when PostgreSQL archives it.
  void write_segment(std::uint64_t number) const {
    write_file_durably(pg_wal() / name_of(number), made_segment_bytes({.number = number}));
  }
  PushOutcome push_number(std::uint64_t number) const {
    return push(pg_wal() / name_of(number), name_of(number), {.segments = archive_->segments()});
  }
  std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const ArchivedFile& file : archive_->list()) found.push_back(file.name);
    return found;
  }
  std::uint64_t free_bytes() const {
    file_system_->sync();
    return file_system_space(file_system_->path()).free_bytes;
  }

  std::optional<TestFileSystem> file_system_;
  std::optional<LocalArchive> archive_;
};

TEST_P(ArchiveOn, SharesTheBlocksOfASegmentWhereItCan) {
  constexpr std::uint64_t count = 24;
  for (std::uint64_t number = 0; number < count; ++number) write_segment(number);
  const std::uint64_t before = free_bytes();
  for (std::uint64_t number = 0; number < count; ++number) push_number(number);
  const std::uint64_t after = free_bytes();
  const std::uint64_t used = before > after ? before - after : 0;
  if (shares_blocks()) {
    EXPECT_LT(used, made_segment_size.count * count / 8);
  } else {
    EXPECT_GE(used, made_segment_size.count * count * 9 / 10);
  }
  // PostgreSQL writes into its own file again.
  for (std::uint64_t number = 0; number < count; ++number) {
    write_file_durably(pg_wal() / name_of(number), std::string(made_segment_size.count, 'x'));
    EXPECT_EQ(read_file(archive_->segments() / name_of(number)), made_segment_bytes({.number = number}));
  }
}

TEST_P(ArchiveOn, KeepsThroughAPowerFailureWhatWasPushed) {
  if (GetParam() == FileSystemKind::tmpfs) GTEST_SKIP() << "memory forgets";
  for (std::uint64_t number = 1; number <= 3; ++number) {
    write_segment(number);
    push_number(number);
    file_system_->fail_power();
    EXPECT_EQ(names().size(), number);
    EXPECT_EQ(read_file(archive_->segments() / name_of(number)), made_segment_bytes({.number = number}));
  }
}

TEST_P(ArchiveOn, GivesUpItsOldestSegmentsWhenTheDiskIsFull) {
  for (std::uint64_t number = 1; number <= 8; ++number) {
    write_segment(number);
    push_number(number);
    // Recycled: only the archive has these blocks now.
    std::filesystem::remove(pg_wal() / name_of(number));
  }
  write_segment(9);
  file_system_->fill();
  const PushOutcome outcome = push_number(9);
  EXPECT_FALSE(outcome.left_out);
  EXPECT_EQ(read_file(archive_->segments() / name_of(9)), made_segment_bytes({.number = 9}));
  // Where blocks are shared it may have fitted; where not, the oldest went and no more than were needed.
  if (!shares_blocks()) {
    EXPECT_TRUE(outcome.disk_was_full);
    ASSERT_FALSE(outcome.removed.empty());
    EXPECT_EQ(outcome.removed.front(), name_of(1));
    // And what else it takes to leave some room to the databases.
    EXPECT_LT(outcome.removed.size(), 9u);
  }
}

TEST_P(ArchiveOn, LeavesASegmentOutWhenTheDiskIsFullAndNothingIsLeftToGiveUp) {
  if (shares_blocks()) GTEST_SKIP() << "a segment needs no room here";
  write_segment(1);
  push_number(1);
  write_segment(2);
  archive_->remove({name_of(1)});
  file_system_->fill();
  const PushOutcome outcome = push_number(2);
  EXPECT_TRUE(outcome.left_out);
  EXPECT_THAT(names(), IsEmpty());
  EXPECT_TRUE(std::filesystem::is_empty(archive_->segments()));
  // Later, when there is room again, the next one is taken.
  std::filesystem::remove(file_system_->path() / "filler");
  EXPECT_FALSE(push_number(2).left_out);
  EXPECT_THAT(names(), ElementsAre(name_of(2)));
}

TEST_P(ArchiveOn, SaysSoWhenItsDiskIsReadOnly) {
  write_segment(1);
  file_system_->remount_read_only(true);
  EXPECT_THROW(push_number(1), Error);
  file_system_->remount_read_only(false);
  EXPECT_FALSE(push_number(1).left_out);
}

std::string kind_name(const ::testing::TestParamInfo<FileSystemKind>& parameter) {
  switch (parameter.param) {
    case FileSystemKind::btrfs:
      return "Btrfs";
    case FileSystemKind::xfs:
      return "Xfs";
    case FileSystemKind::ext4:
      return "Ext4";
    case FileSystemKind::zfs:
      return "Zfs";
    case FileSystemKind::tmpfs:
      return "Tmpfs";
  }
  return "";
}

INSTANTIATE_TEST_SUITE_P(FileSystems, ArchiveOn,
                         ::testing::Values(FileSystemKind::btrfs, FileSystemKind::xfs, FileSystemKind::ext4,
                                           FileSystemKind::tmpfs),
                         kind_name);

}  // namespace
}  // namespace pgtwig::archive
