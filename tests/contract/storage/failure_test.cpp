// File systems that are full, read-only or away, and power that fails: nothing is lost, nothing half-made is left.
#include <gmock/gmock.h>

#include "tests/contract/storage/driver_contract.h"
#include "tests/support/wait.h"

namespace pgtwig::support {

using storage::VolumeId;
using ::testing::ElementsAre;

class FailureOfAPool : public DriverContract {
 protected:
  bool has_disk() const { return GetParam().file_system != FileSystemKind::tmpfs; }
};
INSTANTIATE_TEST_SUITE_P(Drivers, FailureOfAPool, ::testing::ValuesIn(every_driver), case_name);

TEST_P(FailureOfAPool, ByBeingFullLeavesNothingOfTheFork) {
  VolumeId source = make_sample();
  for (int i = 0; i < 2000; ++i) write_text(path_of(source) / std::to_string(i), std::string(3000, 'x'));
  TreeDescription before = describe_tree(path_of(source));
  file_system_->fill();
  // What is left over for a moment can be enough for one fork on Btrfs, never for many.
  std::vector<std::string> expected = {source.text()};
  ErrorCode code = ErrorCode::internal;
  constexpr int most_forks = 3000;
  for (int i = 0; i < most_forks && code == ErrorCode::internal; ++i) {
    VolumeId target = VolumeId::random();
    try {
      driver_->fork(source, target, {});
      expected.push_back(target.text());
    } catch (const Error& error) {
      code = error.code();
      EXPECT_NE(error.hint(), "");
    }
  }
  EXPECT_EQ(code, ErrorCode::no_space);
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(names_in_pool(), expected);
  EXPECT_EQ(differences(describe_tree(path_of(source)), before), "");
}

TEST_P(FailureOfAPool, ByBeingFullEndsWhenVolumesAreDestroyed) {
  VolumeId source = make_sample();
  VolumeId victim = make_fork(source);
  write_random(path_of(victim) / "much", 32u << 20);
  file_system_->sync();
  file_system_->fill();
  driver_->destroy(victim);
  VolumeId target = VolumeId::random();
  EXPECT_TRUE(wait_until([&] {
    file_system_->sync();
    try {
      driver_->fork(source, target, {});
      return true;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::no_space);
      return false;
    }
  }));
  EXPECT_EQ(differences(describe_tree(path_of(target)), describe_tree(path_of(source))), "");
}

TEST_P(FailureOfAPool, ByBeingReadOnlyChangesNothingAndPasses) {
  VolumeId source = make_sample();
  VolumeId target = VolumeId::random();
  file_system_->remount_read_only(true);
  EXPECT_EQ(code_of([&] { driver_->create(target); }), ErrorCode::storage_failed);
  EXPECT_EQ(code_of([&] { driver_->fork(source, target, {}); }), ErrorCode::storage_failed);
  EXPECT_EQ(code_of([&] { driver_->destroy(source); }), ErrorCode::storage_failed);
  EXPECT_THAT(names_in_pool(), ElementsAre(source.text()));
  EXPECT_EQ(driver_->list().size(), 1u);
  file_system_->remount_read_only(false);
  driver_->fork(source, target, {});
  EXPECT_EQ(differences(describe_tree(path_of(target)), describe_tree(path_of(source))), "");
}

TEST_P(FailureOfAPool, ByBeingAwayIsToldFromBeingEmptyAndPasses) {
  if (!has_disk()) GTEST_SKIP() << "what lies in memory does not come back";
  VolumeId volume = make_sample();
  TreeDescription before = describe_tree(path_of(volume));
  file_system_->unmount();
  EXPECT_EQ(code_of([&] { driver_->list(); }), ErrorCode::storage_failed);
  EXPECT_EQ(code_of([&] { driver_->create(VolumeId::random()); }), ErrorCode::storage_failed);
  EXPECT_EQ(code_of([&] { driver_->destroy(volume); }), ErrorCode::storage_failed);
  EXPECT_EQ(code_of([&] { driver_->attach(volume, "here"); }), ErrorCode::storage_failed);
  EXPECT_EQ(code_of([&] { driver_->space(); }), ErrorCode::storage_failed);
  EXPECT_TRUE(std::filesystem::is_empty(pool()));
  file_system_->mount();
  EXPECT_EQ(driver_->list().size(), 1u);
  EXPECT_EQ(differences(describe_tree(path_of(volume)), before), "");
}

TEST_P(FailureOfAPool, ByItsDirectoryBeingRemovedIsClear) {
  std::filesystem::path own = pool() / "own pool";
  std::filesystem::create_directory(own);
  auto driver = open_any_driver(GetParam().driver, own);
  std::filesystem::remove(own);
  EXPECT_EQ(code_of([&] { driver->list(); }), ErrorCode::storage_failed);
  EXPECT_EQ(code_of([&] { driver->create(VolumeId::random()); }), ErrorCode::storage_failed);
}

TEST_P(FailureOfAPool, ByLossOfPowerKeepsAForkThatWasDone) {
  if (!has_disk()) GTEST_SKIP() << "what lies in memory is lost with the power";
  VolumeId source = make_sample();
  driver_->flush(source);
  // Not written by anybody yet: the fork has to see to it.
  write_random(path_of(source) / "data" / "fresh", 300'000);
  TreeDescription expected = describe_tree(path_of(source));
  VolumeId target = VolumeId::random();
  driver_->fork(source, target, {});
  file_system_->fail_power();
  EXPECT_EQ(differences(describe_tree(path_of(target)), expected), "");
}

TEST_P(FailureOfAPool, ByLossOfPowerKeepsAPartThatWasTakenAnew) {
  if (!has_disk()) GTEST_SKIP() << "what lies in memory is lost with the power";
  VolumeId source = make_sample();
  VolumeId target = make_fork(source);
  write_random(path_of(source) / "data" / "page", 16'384);
  write_random(path_of(source) / "data" / "links" / "segment", 1u << 20);
  driver_->refork_part(source, target, "data/page");
  driver_->refork_part(source, target, "data/links");
  TreeDescription expected = describe_tree(path_of(target));
  file_system_->fail_power();
  EXPECT_EQ(differences(describe_tree(path_of(target)), expected), "");
}

TEST_P(FailureOfAPool, ByLossOfPowerKeepsAVolumeThatWasCreatedAndFlushed) {
  if (!has_disk()) GTEST_SKIP() << "what lies in memory is lost with the power";
  VolumeId empty = VolumeId::random();
  VolumeId flushed = make_sample();
  TreeDescription expected = describe_tree(path_of(flushed));
  driver_->flush(flushed);
  driver_->create(empty);
  file_system_->fail_power();
  EXPECT_EQ(differences(describe_tree(path_of(flushed)), expected), "");
  EXPECT_TRUE(std::filesystem::is_directory(path_of(empty)));
}

}  // namespace pgtwig::support
