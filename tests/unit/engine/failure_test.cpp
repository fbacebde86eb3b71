// The n-th effect on storage fails, for every n until none is left to fail: each time the change happens wholly or not
// at all.
#include "tests/unit/engine/engine_fixture.h"

#include <atomic>

#include "engine/sweeper.h"

namespace pgtwig::engine {
namespace {

// Fails the n-th effect; says whether there was one.
class NthFailure {
 public:
  explicit NthFailure(int n) : left_(n) {}
  void operator()(std::string_view effect) {
    if (--left_ == 0) throw Error(ErrorCode::no_space, "injected at " + std::string(effect));
  }
  bool came() const { return left_ <= 0; }

 private:
  std::atomic<int> left_;
};

constexpr int more_effects_than_there_are = 100'000;

using FailureTest = EngineTest;

TEST_F(FailureTest, CreateThatFailsAnywhereLeavesNothing) {
  make_project();
  // Each file of a fork is an effect: the first, the last and some between stand for them all.
  int n = 1;
  for (; n < more_effects_than_there_are; n = n < 8 ? n + 1 : n * 2) {
    auto failure = std::make_shared<NthFailure>(n);
    set_effect_hook([failure](std::string_view effect) { (*failure)(effect); });
    bool failed = false;
    try {
      create_branch(*engine_, {.path = path("dev")}, listener_);
    } catch (const Error& error) {
      failed = true;
      EXPECT_EQ(error.code(), ErrorCode::no_space) << error.message();
    }
    set_effect_hook(nullptr);
    if (!failed) break;
    sweep(*engine_);
    EXPECT_EQ(volumes().size(), 1U) << "after failure " << n;
    EXPECT_TRUE(engine_->catalog().sweep_list().empty());
    EXPECT_EQ(list_branches(*engine_, std::nullopt).size(), 1U);
    EXPECT_EQ(get_branch(*engine_, path("main")).state, "running");
  }
  EXPECT_GT(n, 4) << "the injector was never asked";
  EXPECT_EQ(get_branch(*engine_, path("dev")).state, "running");
}

TEST_F(FailureTest, ResetThatFailsAnywhereLeavesTheOldBranchRunning) {
  make_project();
  create_branch(*engine_, {.path = path("dev")}, listener_);
  const BranchView before = get_branch(*engine_, path("dev"));
  for (int n = 1; n < more_effects_than_there_are; n = n < 8 ? n + 1 : n * 2) {
    auto failure = std::make_shared<NthFailure>(n);
    set_effect_hook([failure](std::string_view effect) { (*failure)(effect); });
    bool failed = false;
    try {
      reset_branch(*engine_, {.path = path("dev")}, listener_);
    } catch (const Error&) {
      failed = true;
    }
    set_effect_hook(nullptr);
    sweep(*engine_);
    const BranchView after = get_branch(*engine_, path("dev"));
    EXPECT_EQ(after.state, "running") << "after failure " << n;
    EXPECT_EQ(after.port, before.port);
    EXPECT_EQ(volumes().size(), 2U);
    if (!failed) break;
    EXPECT_EQ(after.origin->time, before.origin->time);
  }
}

TEST_F(FailureTest, WhatADeadDaemonStagedIsSweptByTheNext) {
  make_project();
  // The record of an operation whose daemon died, with the volume it had made.
  const IncarnationId staged = IncarnationId::random();
  const auto project = engine_->catalog().find_project(*ProjectName::parse("demo"));
  const OperationId operation = OperationId::random();
  auto transaction = engine_->catalog().begin();
  transaction->insert(catalog::OperationRecord{.id = operation,
                                               .kind = "branch create",
                                               .target = "demo/dead",
                                               .state = catalog::OperationState::running,
                                               .steps = {},
                                               .error_code = {},
                                               .error_message = {},
                                               .started_at = SystemClock().now(),
                                               .finished_at = std::nullopt});
  transaction->insert(catalog::SweepRecord{
      .volume = staged, .pool = project->pool, .pg_major = project->pg_major, .operation = operation});
  transaction->commit();
  transaction.reset();
  std::filesystem::create_directories(root_ / "pool" / staged.text() / "data");
  // One of the same shape that no list names must stay: it may be somebody's only copy.
  const IncarnationId unowned = IncarnationId::random();
  std::filesystem::create_directories(root_ / "pool" / unowned.text() / "data");

  open_engine();
  engine_->sweeper().wait_until_idle();

  EXPECT_FALSE(std::filesystem::exists(root_ / "pool" / staged.text()));
  EXPECT_TRUE(std::filesystem::exists(root_ / "pool" / unowned.text()));
  EXPECT_EQ(get_pool(*engine_, *PoolName::parse("memory")).unowned, std::vector{unowned.text()});
  EXPECT_EQ(get_operation(*engine_, operation.text()).state, "failed");
}

TEST_F(EngineTest, AVolumeThatAnOlderCatalogHasAsStagedIsLeftAlone) {
  make_project();
  create_branch(*engine_, {.path = path("dev")}, listener_);
  const auto project = engine_->catalog().find_project(*ProjectName::parse("demo"));
  const auto dev = engine_->catalog().find_branch(project->id, *BranchName::parse("dev"));
  stop_branch(*engine_, path("dev"), listener_);
  // The catalog as it was in the middle of the creation.
  auto transaction = engine_->catalog().begin();
  transaction->remove_branch(dev->id);
  transaction->remove_incarnation(dev->incarnation);
  transaction->insert(catalog::SweepRecord{.volume = dev->incarnation,
                                           .pool = project->pool,
                                           .pg_major = project->pg_major,
                                           .operation = OperationId::random(),
                                           .staged = true});
  transaction->commit();
  transaction.reset();

  open_engine();
  engine_->sweeper().wait_until_idle();

  EXPECT_TRUE(std::filesystem::exists(root_ / "pool" / dev->incarnation.text() / "data" / "PG_VERSION"));
  EXPECT_EQ(get_pool(*engine_, *PoolName::parse("memory")).unowned, std::vector{dev->incarnation.text()});
  EXPECT_TRUE(engine_->catalog().sweep_list().empty());
}

}  // namespace
}  // namespace pgtwig::engine
