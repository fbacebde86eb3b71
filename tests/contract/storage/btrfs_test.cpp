// What only Btrfs has: subvolumes within volumes, read-only ones, and directories that look like volumes.
#include <btrfsutil.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "base/process.h"
#include "tests/contract/storage/driver_contract.h"

namespace pgtwig::support {

using storage::VolumeId;

class BtrfsSubvolumes : public ::testing::Test {
 protected:
  void SetUp() override {
    if (std::string reason = why_no_file_system(FileSystemKind::btrfs); !reason.empty()) GTEST_SKIP() << reason;
    file_system_.emplace(FileSystemKind::btrfs);
    driver_ = storage::open_driver("btrfs", file_system_->path());
  }

  std::filesystem::path path_of(const VolumeId& volume) const { return file_system_->path() / volume.text(); }
  static void make_subvolume(const std::filesystem::path& path) {
    ASSERT_EQ(btrfs_util_create_subvolume(path.c_str(), 0, nullptr, nullptr), BTRFS_UTIL_OK);
  }
  static void make_read_only(const std::filesystem::path& path) {
    ASSERT_EQ(btrfs_util_set_subvolume_read_only(path.c_str(), true), BTRFS_UTIL_OK);
  }
  // Subvolumes in subvolumes, the inner two read-only.
  static void nest_subvolumes(const std::filesystem::path& volume) {
    std::filesystem::create_directory(volume / "data");
    make_subvolume(volume / "data" / "outer");
    make_subvolume(volume / "data" / "outer" / "middle");
    make_subvolume(volume / "data" / "outer" / "middle" / "inner");
    write_text(volume / "data" / "outer" / "middle" / "inner" / "file", "deep inside");
    make_read_only(volume / "data" / "outer" / "middle" / "inner");
    make_read_only(volume / "data" / "outer" / "middle");
  }

  std::optional<TestFileSystem> file_system_;
  std::unique_ptr<storage::VolumeDriver> driver_;
};

TEST_F(BtrfsSubvolumes, NestedAndReadOnlyAreDestroyedWithTheirVolume) {
  VolumeId volume = VolumeId::random();
  driver_->create(volume);
  nest_subvolumes(path_of(volume));
  make_read_only(path_of(volume));
  driver_->destroy(volume);
  EXPECT_FALSE(std::filesystem::exists(path_of(volume)));
}

TEST_F(BtrfsSubvolumes, NestedAndReadOnlyAreDestroyedByAnOrdinaryUserToo) {
  OsUser nobody = OsUser::find("nobody").value();
  ASSERT_EQ(chown(file_system_->path().c_str(), nobody.uid, nobody.gid), 0);
  VolumeId volume = VolumeId::random();
  EXPECT_EQ(run_as_nobody([&] {
              driver_->create(volume);
              nest_subvolumes(path_of(volume));
              make_read_only(path_of(volume));
              driver_->destroy(volume);
            }),
            "");
  EXPECT_FALSE(std::filesystem::exists(path_of(volume)));
}

TEST_F(BtrfsSubvolumes, InAVolumeRefuseItsForkWhichWouldLoseThem) {
  VolumeId volume = VolumeId::random();
  driver_->create(volume);
  make_subvolume(path_of(volume) / "by hand");
  VolumeId target = VolumeId::random();
  EXPECT_EQ(code_of([&] { driver_->fork(volume, target, {}); }), ErrorCode::storage_failed);
  EXPECT_EQ(driver_->list().size(), 1u);
  std::filesystem::remove_all(path_of(volume) / "by hand");
  driver_->fork(volume, target, {});
}

TEST_F(BtrfsSubvolumes, AreNotWhatAPlainDirectoryWithAnIdForANameIs) {
  VolumeId id = VolumeId::random();
  std::filesystem::create_directory(path_of(id));
  write_text(path_of(id) / "file", "made by hand");
  auto entries = driver_->list();
  ASSERT_EQ(entries.size(), 1u);
  EXPECT_FALSE(entries[0].id.has_value());
  EXPECT_EQ(code_of([&] { driver_->destroy(id); }), ErrorCode::storage_failed);
  EXPECT_EQ(read_text(path_of(id) / "file"), "made by hand");
}

TEST_F(BtrfsSubvolumes, MadeByHandAreForeign) {
  make_subvolume(file_system_->path() / "snapshots");
  auto entries = driver_->list();
  ASSERT_EQ(entries.size(), 1u);
  EXPECT_EQ(entries[0].name, "snapshots");
  EXPECT_FALSE(entries[0].id.has_value());
}

TEST_F(BtrfsSubvolumes, AreForkedWithAllThatWasSyncedInItsOrder) {
  VolumeId source = VolumeId::random();
  driver_->create(source);
  std::atomic<int> synced = 0;
  write_text(path_of(source) / "log", "1000000");
  write_text(path_of(source) / "page", "1000000");
  // As PostgreSQL does it: a page is written when the log that tells of it is on disk.
  std::jthread writer([&](const std::stop_token& stop) {
    UniqueFd log(open((path_of(source) / "log").c_str(), O_WRONLY | O_CLOEXEC));
    UniqueFd page(open((path_of(source) / "page").c_str(), O_WRONLY | O_CLOEXEC));
    for (int i = 1'000'001; !stop.stop_requested(); ++i) {
      std::string text = std::to_string(i);
      if (pwrite(log.get(), text.data(), text.size(), 0) < 0 || fdatasync(log.get()) != 0) return;
      synced = i;
      if (pwrite(page.get(), text.data(), text.size(), 0) < 0) return;
    }
  });
  for (int i = 0; i < 40; ++i) {
    int before = synced;
    VolumeId target = VolumeId::random();
    driver_->fork(source, target, {});
    std::string log = read_text(path_of(target) / "log");
    EXPECT_GE(std::stoi(log), before);
    EXPECT_GE(log, read_text(path_of(target) / "page"));
  }
  EXPECT_GT(synced, 1'000'000);
}

}  // namespace pgtwig::support
