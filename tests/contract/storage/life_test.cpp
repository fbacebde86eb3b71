// Creating, listing, recognising and destroying volumes.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <atomic>
#include <thread>

#include "tests/contract/storage/driver_contract.h"
#include "tests/support/wait.h"

namespace pgtwig::support {

using storage::VolumeId;
using ::testing::IsEmpty;

class LifeOfAVolume : public DriverContract {};
INSTANTIATE_TEST_SUITE_P(Drivers, LifeOfAVolume, ::testing::ValuesIn(every_driver), case_name);

TEST_P(LifeOfAVolume, BeginsEmptyOwnedByTheCallerAndClosedToOthersEyes) {
  mode_t old_mask = umask(0077);
  VolumeId volume = VolumeId::random();
  driver_->create(volume);
  umask(old_mask);
  struct stat status{};
  ASSERT_EQ(stat(path_of(volume).c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0711u);
  EXPECT_EQ(status.st_uid, geteuid());
  EXPECT_TRUE(std::filesystem::is_empty(path_of(volume)));
}

TEST_P(LifeOfAVolume, IsNotBegunTwice) {
  VolumeId volume = make_sample();
  TreeDescription before = describe_tree(path_of(volume));
  EXPECT_EQ(code_of([&] { driver_->create(volume); }), ErrorCode::already_exists);
  EXPECT_EQ(code_of([&] { driver_->fork(volume, volume, {}); }), ErrorCode::already_exists);
  VolumeId other = make_fork(volume);
  EXPECT_EQ(code_of([&] { driver_->fork(other, volume, {}); }), ErrorCode::already_exists);
  EXPECT_EQ(differences(describe_tree(path_of(volume)), before), "");
}

TEST_P(LifeOfAVolume, CannotBeUsedBeforeItsBegin) {
  VolumeId absent = VolumeId::random();
  VolumeId target = VolumeId::random();
  EXPECT_EQ(code_of([&] { driver_->fork(absent, target, {}); }), ErrorCode::not_found);
  EXPECT_EQ(code_of([&] { driver_->attach(absent, "here"); }), ErrorCode::not_found);
  EXPECT_EQ(code_of([&] { driver_->flush(absent); }), ErrorCode::not_found);
  EXPECT_EQ(code_of([&] { driver_->identity(absent); }), ErrorCode::not_found);
  EXPECT_EQ(code_of([&] { driver_->usage(absent); }), ErrorCode::not_found);
  EXPECT_EQ(code_of([&] { driver_->refork_part(absent, target, "data"); }), ErrorCode::not_found);
  EXPECT_THAT(names_in_pool(), IsEmpty());
}

TEST_P(LifeOfAVolume, IsLeasedAtItsPath) {
  VolumeId volume = make_sample();
  storage::Lease lease = driver_->attach(volume, "here");
  EXPECT_EQ(lease.path, path_of(volume));
  EXPECT_EQ(lease.epoch, 1u);
  driver_->detach(volume);
}

TEST_P(LifeOfAVolume, HasAnIdentityThatNoForkSharesAndARemountKeeps) {
  VolumeId source = make_sample();
  VolumeId target = make_fork(source);
  std::string identity = driver_->identity(source);
  EXPECT_FALSE(identity.empty());
  EXPECT_NE(identity, driver_->identity(target));
  if (GetParam().file_system == FileSystemKind::tmpfs) return;
  file_system_->unmount();
  file_system_->mount();
  EXPECT_EQ(driver_->identity(source), identity);
}

TEST_P(LifeOfAVolume, GetsANewIdentityWhenItIsMadeAgainUnderItsId) {
  VolumeId volume = make_sample();
  std::string identity = driver_->identity(volume);
  driver_->destroy(volume);
  driver_->create(volume);
  EXPECT_NE(driver_->identity(volume), identity);
}

TEST_P(LifeOfAVolume, EndsWithAllThatIsInItAndNothingElse) {
  VolumeId volume = make_sample();
  VolumeId sibling = make_fork(volume);
  TreeDescription before = describe_tree(path_of(sibling));
  driver_->destroy(volume);
  EXPECT_THAT(names_in_pool(), ::testing::ElementsAre(sibling.text()));
  EXPECT_EQ(differences(describe_tree(path_of(sibling)), before), "");
}

TEST_P(LifeOfAVolume, CanBeEndedTwiceAndByFourAtOnce) {
  VolumeId volume = make_sample();
  for (int i = 0; i < 1000; ++i) write_text(path_of(volume) / std::to_string(i), "one of many");
  std::atomic<int> failures = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i)
      threads.emplace_back([&] {
        try {
          driver_->destroy(volume);
        } catch (const Error&) {
          ++failures;
        }
      });
  }
  EXPECT_EQ(failures, 0);
  driver_->destroy(volume);
  EXPECT_THAT(names_in_pool(), IsEmpty());
}

TEST_P(LifeOfAVolume, GivesItsSpaceBackAtItsEnd) {
  VolumeId kept = make_sample();
  file_system_->sync();
  std::uint64_t before = driver_->space().free.count;
  VolumeId volume = make_fork(kept);
  write_random(path_of(volume) / "much", 48u << 20);
  driver_->flush(volume);
  file_system_->sync();
  EXPECT_LT(driver_->space().free.count, before - (40u << 20));
  driver_->destroy(volume);
  EXPECT_TRUE(wait_until([&] {
    file_system_->sync();
    return driver_->space().free.count > before - (4u << 20);
  }));
}

TEST_P(LifeOfAVolume, IsListedBesideWhatOthersMadeByHand) {
  VolumeId volume = make_sample();
  VolumeId fork = make_fork(volume);
  std::filesystem::create_directories(pool() / "by hand" / "inside");
  write_text(pool() / "a file", "not a volume");
  write_text(pool() / VolumeId::random().text(), "a file whose name is an id");
  std::filesystem::create_directory_symlink("/", pool() / "a link");
  std::filesystem::create_directory(pool() / "lost+found");

  std::map<std::string, bool> seen;
  for (const storage::VolumeEntry& entry : driver_->list()) {
    seen[entry.name] = entry.id.has_value();
    if (entry.id) {
      EXPECT_EQ(entry.id->text(), entry.name);
    }
  }
  std::map<std::string, bool> expected = {{volume.text(), true}, {fork.text(), true}, {"by hand", false}};
  EXPECT_EQ(seen, expected);
  driver_->destroy(volume);
  driver_->destroy(fork);
  EXPECT_TRUE(std::filesystem::exists(pool() / "by hand" / "inside"));
  EXPECT_TRUE(std::filesystem::exists(pool() / "a file"));
}

TEST_P(LifeOfAVolume, IsCountedInTheSpaceOfItsPool) {
  storage::PoolSpace space = driver_->space();
  EXPECT_GT(space.total.count, 100u << 20);
  EXPECT_LE(space.free, space.total);
}

TEST_P(LifeOfAVolume, IsOfADriverThatSaysWhatItCan) {
  EXPECT_EQ(driver_->name(), GetParam().driver);
  EXPECT_TRUE(driver_->capabilities().children_outlive_parent);
  std::map<std::string, std::string_view> methods = {
      {"btrfs", "snapshot"}, {"zfs", "snapshot"}, {"reflink", "reflink"}, {"copy", "copy"}, {"memory", "copy"}};
  EXPECT_EQ(storage::method_name(driver_->capabilities().method), methods.at(GetParam().driver));
}

TEST_P(LifeOfAVolume, IsServedByTheDriverThatAProbeNames) {
  std::string probed = storage::probe_driver_name(pool());
  if (GetParam().file_system == FileSystemKind::tmpfs) {
    EXPECT_EQ(probed, "copy");
  } else {
    EXPECT_EQ(probed, GetParam().driver);
  }
  EXPECT_THAT(names_in_pool(), IsEmpty()) << "the probe left something";
}

TEST_P(LifeOfAVolume, IsRefusedByDriversThatCannotWorkThere) {
  bool is_btrfs = GetParam().file_system == FileSystemKind::btrfs;
  if (!is_btrfs) {
    EXPECT_EQ(code_of([&] { storage::open_driver("btrfs", pool()); }), ErrorCode::not_available);
  }
  if (!shares_blocks()) {
    EXPECT_EQ(code_of([&] { storage::open_driver("reflink", pool()); }), ErrorCode::not_available);
  }
  bool is_zfs = GetParam().file_system == FileSystemKind::zfs;
  EXPECT_EQ(code_of([&] { storage::open_driver(is_zfs ? "reflink" : "zfs", pool()); }), ErrorCode::not_available);
  EXPECT_EQ(code_of([&] { storage::open_driver("ext9", pool()); }), ErrorCode::not_available);
  EXPECT_EQ(code_of([&] { open_any_driver(GetParam().driver, pool() / "missing"); }), ErrorCode::not_found);
}

}  // namespace pgtwig::support
