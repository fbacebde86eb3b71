// What a new daemon finds of an old one, and what it must not believe.
#include <chrono>

#include "base/fs.h"
#include "engine/body.h"
#include "engine/housekeeping.h"
#include "tests/support/errors.h"
#include "tests/support/wait.h"
#include "tests/unit/engine/engine_fixture.h"

namespace pgtwig::engine {
namespace {

class RecoveryTest : public EngineTest {
 protected:
  catalog::BranchRecord record(const std::string& branch) { return require_branch(*engine_, path(branch)).second; }
  void put(const catalog::BranchRecord& branch) {
    auto transaction = engine_->catalog().begin();
    transaction->update(branch);
    transaction->commit();
  }
  void reopen_and_wait() {
    open_engine();
    ASSERT_TRUE(support::wait_until([&] { return engine_->housekeeping().has_restored(); }, std::chrono::seconds(30)));
  }
};

TEST_F(RecoveryTest, AnInstanceThatRunsAsRecordedIsAdoptedWithoutARestart) {
  make_project();
  const auto before = get_branch(*engine_, path("main")).pid;
  reopen_and_wait();
  EXPECT_EQ(get_branch(*engine_, path("main")).pid, before);
}

TEST_F(RecoveryTest, AnInstanceWhoseStartWasNeverCommittedIsStartedAsRecorded) {
  make_project();
  const auto before = get_branch(*engine_, path("main")).pid;
  // As if it had been started with a setting and the daemon had died before the commit: now it runs without.
  catalog::BranchRecord main = record("main");
  main.settings["work_mem"] = "7MB";
  put(main);
  reopen_and_wait();
  const BranchView after = get_branch(*engine_, path("main"));
  EXPECT_EQ(after.state, "running");
  EXPECT_NE(after.pid, before);
}

TEST_F(RecoveryTest, AnInstanceThatShouldNotRunIsStopped) {
  make_project();
  catalog::BranchRecord main = record("main");
  main.wants_running = false;
  put(main);
  reopen_and_wait();
  EXPECT_EQ(get_branch(*engine_, path("main")).state, "stopped");
}

TEST_F(RecoveryTest, ABranchWithoutFsyncIsRefusedAfterTheMachineWentDownAndOnlyThen) {
  make_project();
  create_branch(*engine_, {.path = path("scratch"), .durability = catalog::Durability::none}, listener_);
  const std::filesystem::path mark = root_ / "pool" / record("scratch").incarnation.text() / unflushed_file_name;
  EXPECT_EQ(read_file(mark), boot_id());
  // A crash of PostgreSQL alone: it starts again.
  const auto postmaster = ProcessHandle::open(*get_branch(*engine_, path("scratch")).pid);
  postmaster->send_signal(SIGKILL);
  ASSERT_TRUE(postmaster->wait_for_end(std::chrono::seconds(10)));
  EXPECT_EQ(start_branch(*engine_, {.path = path("scratch")}, listener_).state, "running");
  stop_branch(*engine_, path("scratch"), listener_);
  EXPECT_FALSE(std::filesystem::exists(mark));

  write_file(mark, "another boot");
  try {
    start_branch(*engine_, {.path = path("scratch")}, listener_);
    ADD_FAILURE() << "it was started";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::conflict);
  }
  EXPECT_EQ(reset_branch(*engine_, {.path = path("scratch")}, listener_).state, "stopped");
}

TEST_F(RecoveryTest, ExpiryDeletesTheBranchItSawAndNoOtherOfThatName) {
  make_project();
  create_branch(*engine_, {.path = path("dev"), .time_to_live = std::chrono::seconds(3600)}, listener_);
  const BranchId id = record("dev").id;
  const TimePoint now = engine_->clock().now();
  const auto expire = [&](const BranchId& branch, TimePoint at) {
    return delete_branch(*engine_,
                         {.path = path("dev"), .if_exists = true, .only_if_expired = DeleteBranch::Expiry{branch, at}},
                         listener_);
  };
  EXPECT_TRUE(expire(id, now).empty());
  EXPECT_TRUE(expire(BranchId::random(), now + std::chrono::hours(2)).empty());
  EXPECT_EQ(expire(id, now + std::chrono::hours(2)).size(), 1U);
}

TEST_F(RecoveryTest, ExpiryWaitsForASnapshotThatSomebodyMadeAndForNoOther) {
  make_project();
  create_branch(*engine_, {.path = path("dev"), .time_to_live = std::chrono::seconds(3600)}, listener_);
  const DeleteBranch request{
      .path = path("dev"),
      .if_exists = true,
      .only_if_expired = DeleteBranch::Expiry{record("dev").id, engine_->clock().now() + std::chrono::hours(2)}};
  for (const auto kind :
       {catalog::SnapshotKind::scheduled, catalog::SnapshotKind::restore, catalog::SnapshotKind::manual}) {
    create_snapshot(*engine_,
                    {.branch = path("dev"), .name = std::string(catalog::snapshot_kind_name(kind)), .kind = kind},
                    listener_);
  }
  EXPECT_EQ(support::code_of([&] { delete_branch(*engine_, request, listener_); }), ErrorCode::conflict);
  delete_snapshot(*engine_, {.branch = path("dev"), .name_or_id = "manual"}, listener_);
  EXPECT_EQ(delete_branch(*engine_, request, listener_).size(), 1U);
}

}  // namespace
}  // namespace pgtwig::engine
