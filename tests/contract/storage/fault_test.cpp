// The n-th-failure loop: each effect of the memory driver fails once, and each time nothing half-made is left.
#include <gmock/gmock.h>

#include "storage/memory/memory_driver.h"
#include "tests/contract/storage/driver_contract.h"

namespace pgtwig::support {

using storage::VolumeId;

class FaultOfAnEffect : public ::testing::Test {
 protected:
  FaultOfAnEffect() {
    driver_ = storage::make_memory_driver(directory_.path(), [this](std::string_view effect) {
      ++effects_;
      if (effects_ == failing_)
        throw Error(ErrorCode::storage_failed, "the effect " + std::string(effect) + " was made to fail");
    });
  }

  // Calls `action` with its first effect failing, then its second, and so on until none is left to fail; `check` looks
  // at what each failure left. Returns how many effects there were.
  int fail_each_effect(const std::function<void()>& action, const std::function<void()>& check) {
    constexpr int most_effects = 1000;
    for (int nth = 1; nth < most_effects; ++nth) {
      effects_ = 0;
      failing_ = nth;
      try {
        action();
        failing_ = 0;
        return nth - 1;
      } catch (const Error& error) {
        failing_ = 0;
        EXPECT_EQ(error.code(), ErrorCode::storage_failed) << error.message();
        check();
        if (::testing::Test::HasFailure()) return nth;
      }
    }
    ADD_FAILURE() << "there is no end of effects";
    return most_effects;
  }

  VolumeId make_sample() {
    VolumeId volume = VolumeId::random();
    driver_->create(volume);
    write_sample_tree(path_of(volume));
    return volume;
  }
  std::filesystem::path path_of(const VolumeId& volume) const { return directory_.path() / volume.text(); }

  TemporaryDirectory directory_;
  std::unique_ptr<storage::VolumeDriver> driver_;
  int effects_ = 0;
  int failing_ = 0;
};

TEST_F(FaultOfAnEffect, OfCreateLeavesNoVolume) {
  VolumeId volume = VolumeId::random();
  int effects = fail_each_effect([&] { driver_->create(volume); }, [&] { EXPECT_TRUE(driver_->list().empty()); });
  EXPECT_GE(effects, 2);
  EXPECT_EQ(driver_->list().size(), 1u);
}

TEST_F(FaultOfAnEffect, OfForkLeavesNoVolumeAndTheSourceAsItWas) {
  VolumeId source = make_sample();
  TreeDescription before = describe_tree(path_of(source));
  VolumeId target = VolumeId::random();
  int effects = fail_each_effect([&] { driver_->fork(source, target, {}); },
                                 [&] {
                                   EXPECT_EQ(driver_->list().size(), 1u);
                                   EXPECT_EQ(differences(describe_tree(path_of(source)), before), "");
                                 });
  EXPECT_GE(effects, 25);
  EXPECT_EQ(differences(describe_tree(path_of(target)), before), "");
}

TEST_F(FaultOfAnEffect, OfTakingAPartAnewKeepsTheOldPart) {
  VolumeId source = make_sample();
  VolumeId target = VolumeId::random();
  driver_->fork(source, target, {});
  TreeDescription before = describe_tree(path_of(target) / "data" / "links");
  std::size_t names = describe_tree(path_of(target)).size();
  write_text(path_of(source) / "data" / "links" / "segment", "new");
  int effects =
      fail_each_effect([&] { driver_->refork_part(source, target, "data/links"); },
                       [&] {
                         EXPECT_EQ(differences(describe_tree(path_of(target) / "data" / "links"), before), "");
                         EXPECT_EQ(describe_tree(path_of(target)).size(), names);
                       });
  EXPECT_GE(effects, 5);
  EXPECT_EQ(describe_tree(path_of(target)).size(), names + 1);
}

TEST_F(FaultOfAnEffect, OfDestroyLeavesTheVolumeToBeDestroyedAgain) {
  VolumeId volume = make_sample();
  int effects = fail_each_effect([&] { driver_->destroy(volume); }, [&] { EXPECT_EQ(driver_->list().size(), 1u); });
  EXPECT_GE(effects, 1);
  EXPECT_TRUE(driver_->list().empty());
}

TEST_F(FaultOfAnEffect, OfFlushIsTold) {
  VolumeId volume = make_sample();
  EXPECT_EQ(fail_each_effect([&] { driver_->flush(volume); }, [] {}), 1);
}

}  // namespace pgtwig::support
