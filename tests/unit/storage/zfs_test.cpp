// What `zfs` and `zpool` print, read; and the errors that ZFS gives.
#include <gmock/gmock.h>

#include <cerrno>

#include "storage/pool_image.h"
#include "storage/zfs/dataset.h"
#include "storage/zfs/zfs_error.h"
#include "storage/zfs/zpool.h"
#include "tests/support/errors.h"

namespace pgtwig::storage::zfs {
namespace {

using pgtwig::support::code_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(RowsOfZfsList, AreDatasetsAndSnapshotsWithWhatWasForkedFromThem) {
  const auto rows = parse_rows(
      "tank/pgtwig\t-\t-\t-\t/tank/pgtwig\tyes\n"
      "tank/pgtwig/a\t-\t-\ta\t/tank/pgtwig/a\tyes\n"
      "tank/pgtwig/a@pgtwig-b\t-\ttank/pgtwig/b,tank/by hand\t-\t-\t-\n"
      "tank/pgtwig/b\ttank/pgtwig/a@pgtwig-b\t-\tb\t/tank/pgtwig/b\tno\n");
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_EQ(rows[0].volume, "");
  EXPECT_EQ(rows[1].volume, "a");
  EXPECT_EQ(rows[1].mountpoint, "/tank/pgtwig/a");
  EXPECT_TRUE(rows[1].is_mounted);
  EXPECT_TRUE(rows[2].is_snapshot());
  EXPECT_THAT(rows[2].clones, ElementsAre("tank/pgtwig/b", "tank/by hand"));
  EXPECT_EQ(rows[3].origin, "tank/pgtwig/a@pgtwig-b");
  EXPECT_FALSE(rows[3].is_mounted);
  EXPECT_FALSE(rows[3].is_snapshot());
}

TEST(RowsOfZfsList, MayBeNone) {
  EXPECT_THAT(parse_rows(""), IsEmpty());
}

TEST(RowsOfZfsList, AreRefusedWhenTheyAreSomethingElse) {
  EXPECT_EQ(code_of([] { parse_rows("tank\t-\t-\n"); }), ErrorCode::internal);
  EXPECT_EQ(code_of([] { parse_rows("The ZFS modules are not loaded.\n"); }), ErrorCode::internal);
}

TEST(AZpool, IsTheFirstPartOfTheNamesOfItsDatasets) {
  EXPECT_EQ(zpool_of("tank"), "tank");
  EXPECT_EQ(zpool_of("tank/data/pg"), "tank");
  EXPECT_EQ(zpool_of("tank@snapshot"), "tank");
}

TEST(AZpool, WarnsOfLostDisksAndOfBeingReadOnly) {
  EXPECT_THAT(warnings_of("tank", "ONLINE\toff\n"), IsEmpty());
  EXPECT_THAT(warnings_of("tank", "DEGRADED\toff\n"),
              ElementsAre(::testing::AllOf(HasSubstr("tank is DEGRADED"), HasSubstr("zpool status -v tank"))));
  EXPECT_THAT(warnings_of("tank", "SUSPENDED\toff\n"), ElementsAre(HasSubstr("zpool clear tank")));
  EXPECT_THAT(warnings_of("tank", "ONLINE\ton\n"), ElementsAre(HasSubstr("read-only")));
}

TEST(AZpool, IsFoundByTheFileThatItLiesOn) {
  const auto devices = parse_zpool_devices(
      "tank\n"
      "\tmirror-0\t-\n"
      "\t\t/dev/disk/by-id/one\t-\n"
      "\t\t/dev/disk/by-id/two\t-\n"
      "pgtwig-0a1b\n"
      "\t/var/lib/pgtwig/pools/default.img\n");
  ASSERT_EQ(devices.size(), 3u);
  EXPECT_EQ(devices[0].zpool, "tank");
  EXPECT_EQ(devices[0].device, "/dev/disk/by-id/one");
  EXPECT_EQ(devices[2].zpool, "pgtwig-0a1b");
  EXPECT_EQ(devices[2].device, "/var/lib/pgtwig/pools/default.img");
}

TEST(AnErrorOfZfs, SaysHowToMendIt) {
  for (int number : {ENOENT, EBUSY, EROFS, EPERM, EIO, EAGAIN, ENOSPC, EDQUOT, 1024}) {
    const Error error = zfs_error(number, "cannot do it");
    EXPECT_THAT(error.message(), HasSubstr("cannot do it: "));
    EXPECT_NE(error.hint(), "") << number;
  }
  EXPECT_EQ(zfs_error(EEXIST, "").code(), ErrorCode::already_exists);
  EXPECT_EQ(zfs_error(ENOENT, "").code(), ErrorCode::not_found);
  EXPECT_EQ(zfs_error(EBUSY, "").code(), ErrorCode::busy);
  EXPECT_EQ(zfs_error(EROFS, "").code(), ErrorCode::storage_failed);
  EXPECT_EQ(zfs_error(EDQUOT, "").code(), ErrorCode::no_space);
  EXPECT_EQ(zfs_error(EPERM, "").code(), ErrorCode::not_allowed);
}

TEST(AFileSystemOfAnImage, HasAName) {
  for (ImageFileSystem file_system : {ImageFileSystem::btrfs, ImageFileSystem::xfs, ImageFileSystem::zfs})
    EXPECT_EQ(parse_image_file_system(image_file_system_name(file_system)), file_system);
  EXPECT_FALSE(parse_image_file_system("ext4").has_value());
}

}  // namespace
}  // namespace pgtwig::storage::zfs
