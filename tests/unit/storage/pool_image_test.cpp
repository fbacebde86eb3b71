// Image pools from their making to their end, on real loop devices.
#include "storage/pool_image.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "base/error.h"
#include "base/fs.h"
#include "storage/loop_device.h"
#include "storage/mount_table.h"
#include "storage/volume_driver.h"
#include "tests/support/errors.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/wait.h"

namespace pgtwig::storage {

namespace {

using pgtwig::support::code_of;

Bytes allocated(const std::filesystem::path& file) {
  struct stat status{};
  stat(file.c_str(), &status);
  return Bytes{static_cast<std::uint64_t>(status.st_blocks) * 512};
}

}  // namespace

class PoolImage : public ::testing::TestWithParam<ImageFileSystem> {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "only root can mount an image";
    if (access("/dev/loop-control", R_OK | W_OK) != 0) GTEST_SKIP() << "this machine has no loop devices";
  }
  void TearDown() override {
    for (const auto& point : {mount_point_, elsewhere_}) {
      while (is_mounted(point) && umount2(point.c_str(), MNT_DETACH) == 0) continue;
    }
    EXPECT_TRUE(pgtwig::support::wait_until([&] { return !find_loop_device(image_); })) << "a loop device was leaked";
  }

  void make_and_mount() {
    create_image(image_, 512_MiB, GetParam());
    mount_image(image_, mount_point_);
  }

  pgtwig::support::TemporaryDirectory directory_{pgtwig::support::TemporaryPlace::disk};
  std::filesystem::path image_ = directory_.path() / "pool image";
  std::filesystem::path mount_point_ = directory_.path() / "mount point";
  std::filesystem::path elsewhere_ = directory_.path() / "elsewhere";
};

INSTANTIATE_TEST_SUITE_P(FileSystems, PoolImage, ::testing::Values(ImageFileSystem::btrfs, ImageFileSystem::xfs),
                         [](const auto& image) { return image.param == ImageFileSystem::btrfs ? "btrfs" : "xfs"; });

TEST_P(PoolImage, IsSparsePrivateAndServedByTheDriverOfItsFileSystem) {
  make_and_mount();
  struct stat status{};
  ASSERT_EQ(stat(image_.c_str(), &status), 0);
  EXPECT_EQ(Bytes{static_cast<std::uint64_t>(status.st_size)}, 512_MiB);
  EXPECT_LT(allocated(image_), 96_MiB);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  EXPECT_EQ(probe_driver_name(mount_point_), GetParam() == ImageFileSystem::btrfs ? "btrfs" : "reflink");
}

TEST_P(PoolImage, IsMountedOnceHoweverOftenAsked) {
  create_image(image_, 512_MiB, GetParam());
  EXPECT_FALSE(is_mounted(mount_point_));
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) threads.emplace_back([&] { mount_image(image_, mount_point_); });
  }
  mount_image(image_, mount_point_);
  EXPECT_TRUE(is_mounted(mount_point_));
  int mounts = 0;
  for (const Mount& mount : read_mounts()) mounts += mount.mount_point == mount_point_;
  EXPECT_EQ(mounts, 1);
}

TEST_P(PoolImage, IsMountedWithoutAccessTimesAndOnALoopDeviceThatFreesItself) {
  make_and_mount();
  auto mount = mount_at(mount_point_);
  ASSERT_TRUE(mount);
  EXPECT_NE(read_file("/proc/self/mountinfo").find("nosuid,nodev,noatime"), std::string::npos);
  loop_info64 info{};
  UniqueFd device(open(mount->source.c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_EQ(ioctl(device.get(), LOOP_GET_STATUS64, &info), 0);
  EXPECT_TRUE(info.lo_flags & LO_FLAGS_AUTOCLEAR);
}

TEST_P(PoolImage, IsNotMountedInASecondPlaceNorOverSomethingElse) {
  make_and_mount();
  EXPECT_EQ(code_of([&] { mount_image(image_, elsewhere_); }), ErrorCode::conflict);
  EXPECT_FALSE(is_mounted(elsewhere_));

  std::filesystem::path other = directory_.path() / "other image";
  create_image(other, 512_MiB, GetParam());
  EXPECT_EQ(code_of([&] { mount_image(other, mount_point_); }), ErrorCode::conflict);
  EXPECT_FALSE(find_loop_device(other));
}

TEST_P(PoolImage, ThatIsStillAttachedToALoopDeviceIsMountedFromIt) {
  create_image(image_, 512_MiB, GetParam());
  std::optional<LoopDevice> stale = attach_loop_device(image_);
  mount_image(image_, mount_point_);
  EXPECT_EQ(mount_at(mount_point_)->source, stale->path);
  stale.reset();
}

TEST_P(PoolImage, KeepsItsContentOverAnUnmount) {
  make_and_mount();
  std::ofstream(mount_point_ / "file") << "kept";
  unmount_image(mount_point_);
  EXPECT_FALSE(is_mounted(mount_point_));
  EXPECT_FALSE(find_loop_device(image_));
  unmount_image(mount_point_);
  mount_image(image_, mount_point_);
  EXPECT_EQ(read_file(mount_point_ / "file"), "kept");
}

TEST_P(PoolImage, InUseIsNotUnmounted) {
  make_and_mount();
  std::ofstream(mount_point_ / "file") << "open";
  UniqueFd user(open((mount_point_ / "file").c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(code_of([&] { unmount_image(mount_point_); }), ErrorCode::busy);
  EXPECT_TRUE(is_mounted(mount_point_));
  user.reset();
  unmount_image(mount_point_);
}

TEST_P(PoolImage, GrowsWhileItIsMountedAndNeverShrinks) {
  make_and_mount();
  std::ofstream(mount_point_ / "file") << "kept";
  std::uint64_t before = file_system_space(mount_point_).total_bytes;
  grow_image(image_, mount_point_, 1_GiB);
  EXPECT_GT(file_system_space(mount_point_).total_bytes, before + (400u << 20));
  EXPECT_EQ(std::filesystem::file_size(image_), (1_GiB).count);
  grow_image(image_, mount_point_, 1_GiB);
  EXPECT_EQ(code_of([&] { grow_image(image_, mount_point_, 600_MiB); }), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of([&] { grow_image(image_, mount_point_, Bytes{1ull << 55}); }), ErrorCode::no_space);
  EXPECT_EQ(std::filesystem::file_size(image_), (1_GiB).count);
  EXPECT_EQ(read_file(mount_point_ / "file"), "kept");
}

TEST_P(PoolImage, ThatGrewBeforeACrashIsGrownToItsEndByAskingAgain) {
  make_and_mount();
  std::filesystem::resize_file(image_, (1_GiB).count);
  grow_image(image_, mount_point_, 1_GiB);
  EXPECT_GT(file_system_space(mount_point_).total_bytes, 900u << 20);
}

TEST_P(PoolImage, ThatIsNotMountedIsNeitherGrownNorTrimmed) {
  create_image(image_, 512_MiB, GetParam());
  EXPECT_EQ(code_of([&] { grow_image(image_, mount_point_, 1_GiB); }), ErrorCode::storage_failed);
  EXPECT_EQ(std::filesystem::file_size(image_), (512_MiB).count);
  EXPECT_EQ(code_of([&] { trim(mount_point_); }), ErrorCode::storage_failed);
}

TEST_P(PoolImage, GivesFreedBlocksBackToTheHost) {
  make_and_mount();
  std::ofstream(mount_point_ / "file") << std::string(100u << 20, 'x');
  UniqueFd root = open_directory(mount_point_);
  syncfs(root.get());
  EXPECT_GT(allocated(image_), 100_MiB);
  std::filesystem::remove(mount_point_ / "file");
  syncfs(root.get());
  EXPECT_GT(trim(mount_point_), 100_MiB);
  EXPECT_TRUE(pgtwig::support::wait_until([&] {
    trim(mount_point_);
    return allocated(image_) < 96_MiB;
  }));
}

TEST_P(PoolImage, IsNeverMadeOverAnotherNorTooSmallNorLargerThanTheHostHasFree) {
  create_image(image_, 512_MiB, GetParam());
  EXPECT_EQ(code_of([&] { create_image(image_, 512_MiB, GetParam()); }), ErrorCode::already_exists);
  std::filesystem::path other = directory_.path() / "other image";
  EXPECT_EQ(code_of([&] { create_image(other, 16_MiB, GetParam()); }), ErrorCode::invalid_argument);
  FileSystemSpace host = file_system_space(directory_.path());
  Bytes reserve = host_reserve(Bytes{host.total_bytes});
  EXPECT_EQ(code_of([&] { create_image(other, Bytes{host.free_bytes - reserve.count / 2}, GetParam()); }),
            ErrorCode::no_space);
  EXPECT_FALSE(std::filesystem::exists(other));
}

TEST_P(PoolImage, ThatCannotBeFormattedLeavesNothing) {
  std::string path = std::getenv("PATH");
  // A mkfs that fails, found before the real one.
  std::filesystem::path programs = directory_.path() / "programs";
  std::filesystem::create_directory(programs);
  for (const char* name : {"mkfs.btrfs", "mkfs.xfs"}) {
    std::ofstream(programs / name) << "#!/bin/sh\necho the disk is on fire >&2\nexit 1\n";
    std::filesystem::permissions(programs / name, std::filesystem::perms::owner_all);
  }
  setenv("PATH", (programs.string() + ":" + path).c_str(), 1);
  try {
    create_image(image_, 512_MiB, GetParam());
    ADD_FAILURE() << "no error was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::storage_failed);
    EXPECT_NE(error.message().find("on fire"), std::string::npos) << error.message();
  }
  setenv("PATH", path.c_str(), 1);
  EXPECT_FALSE(std::filesystem::exists(image_));
}

TEST_P(PoolImage, ThatIsMissingOrForeignIsNotMounted) {
  EXPECT_EQ(code_of([&] { mount_image(image_, mount_point_); }), ErrorCode::not_found);
  std::ofstream(image_) << std::string(1 << 20, 'x');
  EXPECT_EQ(code_of([&] { mount_image(image_, mount_point_); }), ErrorCode::storage_failed);
}

TEST_P(PoolImage, ThatIsDamagedIsNotMountedAndLeavesNoLoopDevice) {
  create_image(image_, 512_MiB, GetParam());
  {
    // All but the magic number of either superblock.
    std::fstream file(image_, std::ios::in | std::ios::out | std::ios::binary);
    for (std::streamoff at : {16, 0x10080}) {
      file.seekp(at);
      file << std::string(400, 'x');
    }
  }
  EXPECT_EQ(code_of([&] { mount_image(image_, mount_point_); }), ErrorCode::storage_failed);
  EXPECT_TRUE(pgtwig::support::wait_until([&] { return !find_loop_device(image_); }));
}

TEST(HostReserve, IsATwentiethBetweenOneAndTenGibibytes) {
  EXPECT_EQ(host_reserve(4_GiB), 1_GiB);
  EXPECT_EQ(host_reserve(100_GiB), 5_GiB);
  EXPECT_EQ(host_reserve(4000_GiB), 10_GiB);
}

TEST(BestImageFileSystem, IsBtrfsWhereRootHasItsToolsAndNoneForOthers) {
  if (geteuid() != 0) {
    EXPECT_FALSE(best_image_file_system());
    return;
  }
  bool can = access("/dev/loop-control", R_OK | W_OK) == 0 && access("/usr/sbin/mkfs.btrfs", X_OK) == 0;
  if (!can) GTEST_SKIP() << "this machine has no loop devices or no mkfs.btrfs";
  EXPECT_EQ(best_image_file_system(), ImageFileSystem::btrfs);
}

}  // namespace pgtwig::storage
