// Space as the file system itself accounts for it.
#include <fstream>
#include <random>

#include "tests/contract/storage/driver_contract.h"
#include "tests/support/wait.h"

namespace pgtwig::support {

using storage::VolumeId;
using storage::VolumeUsage;

class UsageOfAVolume : public DriverContract {
 protected:
  VolumeUsage settled_usage(const VolumeId& volume) {
    file_system_->sync();
    return driver_->usage(volume);
  }
  void overwrite_first_megabyte(const VolumeId& volume) {
    std::fstream file(path_of(volume) / "data" / "big", std::ios::in | std::ios::out | std::ios::binary);
    // Nothing that a file system could make smaller.
    std::mt19937_64 random(1);
    for (std::size_t written = 0; written < 1u << 20; written += sizeof(std::uint64_t)) {
      const std::uint64_t word = random();
      file.write(reinterpret_cast<const char*>(&word), sizeof word);
    }
    file.close();
    ASSERT_TRUE(file);
  }
};
INSTANTIATE_TEST_SUITE_P(Drivers, UsageOfAVolume, ::testing::ValuesIn(every_driver), case_name);

TEST_P(UsageOfAVolume, IsAllItsOwnWhileNothingSharesIt) {
  VolumeUsage usage = settled_usage(make_sample());
  EXPECT_GT(usage.logical.count, 4u << 20);
  EXPECT_LT(usage.logical.count, 6u << 20) << "a hole was counted";
  EXPECT_EQ(usage.unique + usage.shared, usage.logical);
  EXPECT_GE(usage.unique.count, 4u << 20);
}

TEST_P(UsageOfAVolume, IsNearlyNothingForAFreshForkThatSharesBlocks) {
  VolumeId source = make_sample();
  file_system_->sync();
  VolumeUsage usage = settled_usage(make_fork(source));
  EXPECT_EQ(usage.unique + usage.shared, usage.logical);
  EXPECT_GT(usage.logical.count, 4u << 20);
  if (shares_blocks()) {
    EXPECT_LT(usage.unique.count, 64u << 10);
  } else {
    EXPECT_EQ(usage.unique, usage.logical);
  }
}

TEST_P(UsageOfAVolume, GrowsByWhatIsRewrittenInTheFork) {
  VolumeId source = make_sample();
  VolumeId fork = make_fork(source);
  overwrite_first_megabyte(fork);
  VolumeUsage of_fork = settled_usage(fork);
  EXPECT_GE(of_fork.unique.count, 1u << 20);
  if (!shares_blocks()) return;
  EXPECT_LT(of_fork.unique.count, 2u << 20);
  EXPECT_GE(of_fork.shared.count, 3u << 20);
}

TEST_P(UsageOfAVolume, IsTheSourcesOwnAgainWhenTheForkIsGone) {
  VolumeId source = make_sample();
  VolumeId fork = make_fork(source);
  file_system_->sync();
  driver_->destroy(fork);
  EXPECT_TRUE(wait_until([&] { return settled_usage(source).unique.count >= 4u << 20; }));
}

TEST_P(UsageOfAVolume, CountsAFileWithSeveralNamesOnce) {
  VolumeId volume = VolumeId::random();
  driver_->create(volume);
  write_random(path_of(volume) / "file", 2u << 20);
  std::filesystem::create_hard_link(path_of(volume) / "file", path_of(volume) / "second name");
  EXPECT_LT(settled_usage(volume).logical.count, 3u << 20);
}

}  // namespace pgtwig::support
