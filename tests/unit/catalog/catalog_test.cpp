// The catalog on a real SQLite file: what is committed stays, what is not is gone, and damage is named.
#include "catalog/catalog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "base/error.h"
#include "tests/support/errors.h"
#include "tests/support/places.h"

namespace pgtwig::catalog {
namespace {

using pgtwig::support::error_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class CatalogTest : public ::testing::Test {
 protected:
  CatalogTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "pgtwig-catalog-XXXXXX").string();
    directory_ = mkdtemp(pattern.data());
    file_ = directory_ / "catalog.db";
  }
  ~CatalogTest() override { std::filesystem::remove_all(directory_); }

  std::unique_ptr<Catalog> open() { return open_catalog(file_, InstallationId::random()); }

  // Runs SQL on the file as any other program would.
  void run_sql(const std::string& sql) {
    sqlite3* database = nullptr;
    ASSERT_EQ(sqlite3_open(file_.c_str(), &database), SQLITE_OK);
    char* message = nullptr;
    int result = sqlite3_exec(database, sql.c_str(), nullptr, nullptr, &message);
    std::string text = message ? message : "";
    sqlite3_free(message);
    sqlite3_close(database);
    ASSERT_EQ(result, SQLITE_OK) << text;
  }

  // The Error that opening the file ends in.
  Error open_error() {
    try {
      open();
    } catch (const Error& error) {
      return error;
    }
    return Error(ErrorCode::internal, "nothing was thrown");
  }

  std::filesystem::path directory_;
  std::filesystem::path file_;
};

TimePoint moment(int seconds) {
  return TimePoint(std::chrono::seconds(1'700'000'000 + seconds) + std::chrono::microseconds(123456));
}

PoolRecord make_pool(const std::string& name = "default") {
  return {.id = PoolId::random(),
          .name = *PoolName::parse(name),
          .driver = "btrfs",
          .directory = "/pools/default",
          .image = "/pools/default.img",
          .mount_point = "/pools/default",
          .created_at = moment(1)};
}

ProjectRecord make_project(const PoolRecord& pool, const std::string& name = "demo") {
  return {.id = ProjectId::random(),
          .name = *ProjectName::parse(name),
          .pool = pool.id,
          .pg_major = 15,
          .runtime = "native",
          .settings = {{"work_mem", "64MB"}, {"search_path", "\"a\", 'b'"}},
          .created_at = moment(2)};
}

BranchRecord make_branch(const ProjectRecord& project, const std::string& name, std::uint16_t port) {
  return {.id = BranchId::random(),
          .project = project.id,
          .name = *BranchName::parse(name),
          .parent = std::nullopt,
          .incarnation = IncarnationId::random(),
          .host = "local",
          .port = port,
          .settings = {},
          .password = "s3cret",
          .held_back = {},
          .allowed = {},
          .origin = {.branch = "demo/main", .snapshot = "", .lsn = "0/16B3748", .time = moment(3)},
          .created_at = moment(4),
          .expires_at = std::nullopt};
}

OperationRecord make_operation(const std::string& target, int started) {
  return {.id = OperationId::random(),
          .kind = "branch create",
          .target = target,
          .state = OperationState::done,
          .steps = {{"Checkpoint", 4}, {"Clone volume (btrfs)", 6}},
          .error_code = "",
          .error_message = "",
          .started_at = moment(started),
          .finished_at = moment(started + 1)};
}

template <class... Records>
void insert_all(Catalog& catalog, const Records&... records) {
  auto transaction = catalog.begin();
  (transaction->insert(records), ...);
  transaction->commit();
}

IncarnationRecord make_incarnation(const BranchRecord& branch, int began) {
  return {.id = branch.incarnation,
          .project = branch.project,
          .branch = branch.id,
          .cause = "create",
          .source = std::nullopt,
          .origin = "",
          .source_time = moment(began),
          .own_from = {0x1000028},
          .timeline = 1,
          .began_at = moment(began)};
}

SnapshotRecord make_snapshot(const BranchRecord& branch, const std::string& name, int created) {
  return {.id = IncarnationId::random(),
          .project = branch.project,
          .branch = branch.id,
          .incarnation = branch.incarnation,
          .name = name,
          .message = "",
          .kind = SnapshotKind::manual,
          .redo = {0x2000028},
          .end = {0x2000110},
          .timeline = 1,
          .next_xid = 748,
          .password = "of then",
          .held_back = {},
          .maybe_has_subscriptions = false,
          .created_at = moment(created)};
}

std::vector<std::string> names_of(const std::vector<SnapshotRecord>& snapshots) {
  std::vector<std::string> names;
  for (const SnapshotRecord& snapshot : snapshots) names.push_back(snapshot.name);
  return names;
}

std::vector<std::string> names_of(const std::vector<BranchRecord>& branches) {
  std::vector<std::string> names;
  for (const BranchRecord& branch : branches) names.push_back(branch.name.text());
  return names;
}

TEST_F(CatalogTest, IsPrivateFromItsFirstMoment) {
  mode_t before = umask(0);
  auto catalog = open();
  umask(before);
  insert_all(*catalog, make_pool());
  for (const char* suffix : {"", "-wal", "-shm"}) {
    struct stat status{};
    ASSERT_EQ(stat((file_.string() + suffix).c_str(), &status), 0) << suffix;
    EXPECT_EQ(status.st_mode & 0777, 0600u) << suffix;
  }
}

TEST_F(CatalogTest, KeepsItsIdentityWhenItIsOpenedAgain) {
  InstallationId first = open()->installation();
  EXPECT_EQ(open()->installation(), first);
}

TEST_F(CatalogTest, GivesBackEveryFieldAfterItIsOpenedAgain) {
  PoolRecord pool = make_pool();
  ProjectRecord project = make_project(pool);
  BranchRecord main = make_branch(project, "main", 6001);
  BranchRecord dev = make_branch(project, "feature/новая", 6002);
  dev.parent = main.id;
  dev.wants_running = false;
  dev.durability = Durability::none;
  dev.settings = {{"fsync", "off"}};
  dev.held_back = {"cron.schedule", "archive_command = 'cp %p \"x\"'"};
  dev.allowed = {"cron.schedule"};
  dev.maybe_has_subscriptions = true;
  dev.origin.snapshot = "before";
  dev.expires_at = moment(99);
  OperationRecord operation = make_operation("demo/dev", 5);
  operation.state = OperationState::failed;
  operation.error_code = "no_space";
  operation.error_message = "full";
  insert_all(*open(), pool, project, main, dev, operation);

  auto catalog = open();
  PoolRecord read_pool = catalog->find_pool(pool.name).value();
  EXPECT_EQ(read_pool.id, pool.id);
  EXPECT_EQ(read_pool.driver, "btrfs");
  EXPECT_EQ(read_pool.directory, pool.directory);
  EXPECT_EQ(read_pool.image, pool.image);
  EXPECT_EQ(read_pool.mount_point, pool.mount_point);
  EXPECT_EQ(read_pool.created_at, pool.created_at);
  ProjectRecord read_project = catalog->find_project(project.name).value();
  EXPECT_EQ(read_project.id, project.id);
  EXPECT_EQ(read_project.pool, pool.id);
  EXPECT_EQ(read_project.pg_major, 15);
  EXPECT_EQ(read_project.settings, project.settings);
  BranchRecord read_dev = catalog->find_branch(project.id, dev.name).value();
  EXPECT_EQ(read_dev.id, dev.id);
  EXPECT_EQ(read_dev.parent, main.id);
  EXPECT_EQ(read_dev.incarnation, dev.incarnation);
  EXPECT_EQ(read_dev.host, "local");
  EXPECT_EQ(read_dev.port, 6002);
  EXPECT_FALSE(read_dev.wants_running);
  EXPECT_EQ(read_dev.durability, Durability::none);
  EXPECT_EQ(read_dev.settings, dev.settings);
  EXPECT_EQ(read_dev.password, "s3cret");
  EXPECT_EQ(read_dev.held_back, dev.held_back);
  EXPECT_EQ(read_dev.allowed, dev.allowed);
  EXPECT_TRUE(read_dev.maybe_has_subscriptions);
  EXPECT_EQ(read_dev.origin.branch, "demo/main");
  EXPECT_EQ(read_dev.origin.snapshot, "before");
  EXPECT_EQ(read_dev.origin.lsn, "0/16B3748");
  EXPECT_EQ(read_dev.origin.time, dev.origin.time);
  EXPECT_EQ(read_dev.created_at, dev.created_at);
  EXPECT_EQ(read_dev.expires_at, dev.expires_at);
  EXPECT_FALSE(catalog->find_branch(project.id, main.name)->parent);
  OperationRecord read_operation = catalog->operations(1).at(0);
  EXPECT_EQ(read_operation.state, OperationState::failed);
  ASSERT_EQ(read_operation.steps.size(), 2u);
  EXPECT_EQ(read_operation.steps[1].name, "Clone volume (btrfs)");
  EXPECT_EQ(read_operation.steps[1].milliseconds, 6);
  EXPECT_EQ(read_operation.error_code, "no_space");
  EXPECT_EQ(read_operation.error_message, "full");
  EXPECT_EQ(read_operation.finished_at, operation.finished_at);
}

TEST_F(CatalogTest, ListsMainFirstAndTheRestByName) {
  PoolRecord pool = make_pool();
  ProjectRecord demo = make_project(pool, "demo");
  ProjectRecord abc = make_project(pool, "abc");
  BranchRecord main = make_branch(demo, "main", 6001);
  BranchRecord child = make_branch(demo, "zebra", 6002);
  BranchRecord other = make_branch(demo, "alpha", 6003);
  child.parent = main.id;
  other.parent = main.id;
  auto catalog = open();
  insert_all(*catalog, pool, demo, abc, child, main, other, make_branch(abc, "main", 6004));
  EXPECT_THAT(names_of(catalog->branches(demo.id)), ElementsAre("main", "alpha", "zebra"));
  EXPECT_THAT(names_of(catalog->branches()), ElementsAre("main", "main", "alpha", "zebra"));
  EXPECT_EQ(catalog->branches().front().project, abc.id);
  EXPECT_THAT(names_of(catalog->children(main.id)), ElementsAre("alpha", "zebra"));
  EXPECT_THAT(catalog->used_ports("local"), ElementsAre(6001, 6002, 6003, 6004));
  EXPECT_TRUE(catalog->used_ports("elsewhere").empty());
}

TEST_F(CatalogTest, UndoesATransactionThatIsNotCommitted) {
  auto catalog = open();
  PoolRecord pool = make_pool();
  {
    auto transaction = catalog->begin();
    transaction->insert(pool);
  }
  EXPECT_TRUE(catalog->pools().empty());
  insert_all(*catalog, pool);
  EXPECT_EQ(catalog->pools().size(), 1u);
}

TEST_F(CatalogTest, ShowsNothingOfATransactionBeforeItsCommit) {
  auto catalog = open();
  auto transaction = catalog->begin();
  transaction->insert(make_pool());
  EXPECT_TRUE(catalog->pools().empty());
  transaction->commit();
  EXPECT_EQ(catalog->pools().size(), 1u);
}

TEST_F(CatalogTest, RefusesASecondBranchOfOneNameAndSaysWhich) {
  PoolRecord pool = make_pool();
  ProjectRecord project = make_project(pool);
  auto catalog = open();
  insert_all(*catalog, pool, project, make_branch(project, "dev", 6001));
  Error error = error_of([&] { catalog->begin()->insert(make_branch(project, "dev", 6002)); });
  EXPECT_EQ(error.code(), ErrorCode::already_exists);
  EXPECT_THAT(error.message(), HasSubstr("demo/dev"));
}

TEST_F(CatalogTest, RefusesATakenPortOfTheSameHostAndSaysWhose) {
  PoolRecord pool = make_pool();
  ProjectRecord project = make_project(pool);
  BranchRecord dev = make_branch(project, "dev", 6001);
  BranchRecord other = make_branch(project, "other", 6002);
  BranchRecord elsewhere = make_branch(project, "elsewhere", 6001);
  elsewhere.host = "far";
  auto catalog = open();
  insert_all(*catalog, pool, project, dev, other, elsewhere);
  other.port = 6001;
  Error error = error_of([&] { catalog->begin()->update(other); });
  EXPECT_EQ(error.code(), ErrorCode::already_exists);
  EXPECT_THAT(error.message(), HasSubstr("port 6001 is taken by demo/dev"));
}

TEST_F(CatalogTest, RefusesASecondProjectOrPoolOfOneName) {
  PoolRecord pool = make_pool();
  auto catalog = open();
  insert_all(*catalog, pool, make_project(pool));
  EXPECT_EQ(error_of([&] { catalog->begin()->insert(make_project(pool)); }).code(), ErrorCode::already_exists);
  EXPECT_EQ(error_of([&] { catalog->begin()->insert(make_pool()); }).code(), ErrorCode::already_exists);
}

TEST_F(CatalogTest, RefusesToCommitABranchThatLostItsParent) {
  PoolRecord pool = make_pool();
  ProjectRecord project = make_project(pool);
  BranchRecord main = make_branch(project, "main", 6001);
  BranchRecord dev = make_branch(project, "dev", 6002);
  dev.parent = main.id;
  auto catalog = open();
  insert_all(*catalog, pool, project, main, dev);
  auto transaction = catalog->begin();
  transaction->remove_branch(main.id);
  EXPECT_EQ(error_of([&] { transaction->commit(); }).code(), ErrorCode::conflict);
  transaction.reset();
  EXPECT_TRUE(catalog->find_branch(main.id));
  insert_all(*catalog, make_branch(project, "after", 6003));
}

TEST_F(CatalogTest, RemovesAProjectWithItsBranchesInAnyOrder) {
  PoolRecord pool = make_pool();
  ProjectRecord project = make_project(pool);
  BranchRecord main = make_branch(project, "main", 6001);
  BranchRecord dev = make_branch(project, "dev", 6002);
  dev.parent = main.id;
  auto catalog = open();
  insert_all(*catalog, pool, project, main, dev);
  auto transaction = catalog->begin();
  transaction->remove_project(project.id);
  transaction->remove_branch(main.id);
  transaction->remove_branch(dev.id);
  transaction->commit();
  EXPECT_TRUE(catalog->branches().empty());
  EXPECT_TRUE(catalog->projects().empty());
}

TEST_F(CatalogTest, SaysThatABranchIsGoneWhenItIsUpdatedAfterItsDeletion) {
  PoolRecord pool = make_pool();
  ProjectRecord project = make_project(pool);
  auto catalog = open();
  insert_all(*catalog, pool, project);
  BranchRecord gone = make_branch(project, "dev", 6001);
  EXPECT_EQ(error_of([&] { catalog->begin()->update(gone); }).code(), ErrorCode::not_found);
}

TEST_F(CatalogTest, TakesAVolumeOffTheSweepListInTheTransactionThatOwnsIt) {
  PoolRecord pool = make_pool();
  ProjectRecord project = make_project(pool);
  BranchRecord dev = make_branch(project, "dev", 6001);
  SweepRecord sweep{
      .volume = dev.incarnation, .pool = pool.id, .pg_major = 15, .operation = OperationId::random(), .staged = true};
  auto catalog = open();
  insert_all(*catalog, pool, project, sweep);
  ASSERT_EQ(catalog->sweep_list().size(), 1u);
  EXPECT_EQ(catalog->sweep_list().front().volume, dev.incarnation);
  EXPECT_EQ(catalog->sweep_list().front().operation, sweep.operation);
  EXPECT_TRUE(catalog->sweep_list().front().staged);

  auto transaction = catalog->begin();
  transaction->insert(dev);
  transaction->remove_sweep(dev.incarnation);
  transaction->commit();
  EXPECT_TRUE(catalog->sweep_list().empty());

  // A reset: the old body goes on the list with the commit that makes the new one the branch's.
  IncarnationId old = dev.incarnation;
  dev.incarnation = IncarnationId::random();
  transaction = catalog->begin();
  transaction->update(dev);
  transaction->insert(SweepRecord{old, pool.id, 15, OperationId::random()});
  transaction->commit();
  ASSERT_EQ(catalog->sweep_list().size(), 1u);
  EXPECT_EQ(catalog->sweep_list().front().volume, old);
}

TEST_F(CatalogTest, ListsTheNewestOperationsFirstAndPrunesFinishedOnesOnly) {
  auto catalog = open();
  OperationRecord running = make_operation("demo/slow", 0);
  running.state = OperationState::running;
  running.finished_at.reset();
  insert_all(*catalog, running);
  for (int i = 1; i <= 5; ++i) insert_all(*catalog, make_operation("demo/b" + std::to_string(i), i));
  EXPECT_EQ(catalog->operations(2).front().target, "demo/b5");
  EXPECT_EQ(catalog->operations(2).size(), 2u);
  auto transaction = catalog->begin();
  transaction->prune_operations(2);
  transaction->commit();
  std::vector<std::string> left;
  for (const OperationRecord& operation : catalog->operations(100)) left.push_back(operation.target);
  EXPECT_THAT(left, ElementsAre("demo/b5", "demo/b4", "demo/slow"));
}

TEST_F(CatalogTest, LetsReadersReadWhileWritersWaitForEachOther) {
  constexpr int writers = 4;
  constexpr int branches_each = 20;
  PoolRecord pool = make_pool();
  ProjectRecord project = make_project(pool);
  auto catalog = open();
  insert_all(*catalog, pool, project);
  std::atomic<int> writing = writers;
  std::atomic<int> torn = 0;
  std::vector<std::thread> threads;
  for (int writer = 0; writer < writers; ++writer) {
    threads.emplace_back([&, writer] {
      for (int i = 0; i < branches_each; ++i) {
        int number = writer * branches_each + i;
        // Two at a time: a reader must never see one without the other.
        insert_all(*catalog, make_branch(project, "a" + std::to_string(number), 7000 + 2 * number),
                   make_branch(project, "b" + std::to_string(number), 7001 + 2 * number));
      }
      --writing;
    });
  }
  for (int reader = 0; reader < 3; ++reader) {
    threads.emplace_back([&] {
      while (writing > 0) {
        if (catalog->branches(project.id).size() % 2 != 0) ++torn;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(torn, 0);
  EXPECT_EQ(catalog->branches(project.id).size(), 2u * writers * branches_each);
}

TEST_F(CatalogTest, LetsExactlyOneOfTwoCreatesOfOneNameWin) {
  PoolRecord pool = make_pool();
  ProjectRecord project = make_project(pool);
  auto catalog = open();
  insert_all(*catalog, pool, project);
  std::atomic<int> won = 0;
  std::atomic<int> refused = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      try {
        insert_all(*catalog, make_branch(project, "dev", static_cast<std::uint16_t>(6001 + i)));
        ++won;
      } catch (const Error& error) {
        if (error.code() == ErrorCode::already_exists) ++refused;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(won, 1);
  EXPECT_EQ(refused, 3);
}

// A project with main, and dev made of it.
class CatalogWithBranches : public CatalogTest {
 protected:
  CatalogWithBranches() {
    dev_.parent = main_.id;
    insert_all(*catalog_, pool_, project_, main_, dev_);
  }
  std::unique_ptr<Catalog> catalog_ = open();
  PoolRecord pool_ = make_pool();
  ProjectRecord project_ = make_project(pool_);
  BranchRecord main_ = make_branch(project_, "main", 6001);
  BranchRecord dev_ = make_branch(project_, "dev", 6002);
};

TEST_F(CatalogWithBranches, GivesBackEveryFieldOfABody) {
  IncarnationRecord body = make_incarnation(dev_, 10);
  body.cause = "restore";
  body.source = main_.incarnation;
  body.origin = "demo/main@v1";
  body.own_from = {0xFFFFFFFF12345678};
  body.timeline = 4294967295;
  body.ended_at = moment(20);
  body.snapshot = IncarnationId::random();
  insert_all(*catalog_, body);

  catalog_.reset();
  const IncarnationRecord read = open()->find_incarnation(body.id).value();
  EXPECT_EQ(read.id, body.id);
  EXPECT_EQ(read.project, project_.id);
  EXPECT_EQ(read.branch, dev_.id);
  EXPECT_EQ(read.cause, "restore");
  EXPECT_EQ(read.source, main_.incarnation);
  EXPECT_EQ(read.origin, "demo/main@v1");
  EXPECT_EQ(read.source_time, moment(10));
  EXPECT_EQ(read.own_from, body.own_from);
  EXPECT_EQ(read.timeline, 4294967295);
  EXPECT_EQ(read.began_at, moment(10));
  EXPECT_EQ(read.ended_at, moment(20));
  EXPECT_EQ(read.snapshot, body.snapshot);
}

TEST_F(CatalogWithBranches, ListsBodiesOldestFirstAndChangesThem) {
  IncarnationRecord second = make_incarnation(dev_, 20);
  IncarnationRecord first = make_incarnation(dev_, 10);
  first.id = IncarnationId::random();
  const IncarnationRecord other = make_incarnation(main_, 15);
  insert_all(*catalog_, second, first, other);
  first.ended_at = moment(20);
  second.source = main_.incarnation;
  second.snapshot = IncarnationId::random();
  auto transaction = catalog_->begin();
  transaction->update(first);
  transaction->update(second);
  transaction->commit();
  transaction.reset();

  const auto of_dev = catalog_->incarnations(dev_.id);
  ASSERT_EQ(of_dev.size(), 2u);
  EXPECT_EQ(of_dev[0].id, first.id);
  EXPECT_EQ(of_dev[0].ended_at, moment(20));
  EXPECT_EQ(of_dev[1].id, second.id);
  EXPECT_EQ(of_dev[1].source, main_.incarnation);
  EXPECT_EQ(of_dev[1].snapshot, second.snapshot);
  const auto of_project = catalog_->incarnations(project_.id);
  ASSERT_EQ(of_project.size(), 3u);
  EXPECT_EQ(of_project[1].id, other.id);

  transaction = catalog_->begin();
  transaction->remove_incarnation(first.id);
  EXPECT_EQ(error_of([&] { transaction->update(first); }).code(), ErrorCode::not_found);
  transaction->commit();
  EXPECT_EQ(catalog_->incarnations(dev_.id).size(), 1u);
}

TEST_F(CatalogWithBranches, GivesBackEveryFieldOfASnapshot) {
  SnapshotRecord snapshot = make_snapshot(dev_, "before-migration", 30);
  snapshot.message = "schema v12, \"quoted\"";
  snapshot.kind = SnapshotKind::restore;
  snapshot.end = {0xFFFFFFFF12345678};
  snapshot.timeline = 7;
  snapshot.next_xid = (1ull << 40) + 3;
  snapshot.held_back = {"replication slot: x"};
  snapshot.maybe_has_subscriptions = true;
  insert_all(*catalog_, snapshot);

  catalog_.reset();
  catalog_ = open();
  const SnapshotRecord read = catalog_->find_snapshot(dev_.id, "before-migration").value();
  EXPECT_EQ(read.id, snapshot.id);
  EXPECT_EQ(read.project, project_.id);
  EXPECT_EQ(read.branch, dev_.id);
  EXPECT_EQ(read.incarnation, dev_.incarnation);
  EXPECT_EQ(read.name, "before-migration");
  EXPECT_EQ(read.message, snapshot.message);
  EXPECT_EQ(read.kind, SnapshotKind::restore);
  EXPECT_EQ(read.redo, snapshot.redo);
  EXPECT_EQ(read.end, snapshot.end);
  EXPECT_EQ(read.timeline, 7u);
  EXPECT_EQ(read.next_xid, snapshot.next_xid);
  EXPECT_EQ(read.password, "of then");
  EXPECT_EQ(read.held_back, snapshot.held_back);
  EXPECT_TRUE(read.maybe_has_subscriptions);
  EXPECT_EQ(read.created_at, moment(30));
  EXPECT_EQ(catalog_->find_snapshot(snapshot.id)->name, "before-migration");
  EXPECT_FALSE(catalog_->find_snapshot(main_.id, "before-migration"));
}

TEST_F(CatalogWithBranches, HasASnapshotsNameOnceInABranchAndAgainInAnother) {
  SnapshotRecord v1 = make_snapshot(dev_, "v1", 10);
  insert_all(*catalog_, make_snapshot(dev_, "v2", 20), v1, make_snapshot(main_, "v1", 15));
  EXPECT_EQ(error_of([&] { insert_all(*catalog_, make_snapshot(dev_, "v1", 30)); }).code(), ErrorCode::already_exists);
  v1.message = "the first";
  auto transaction = catalog_->begin();
  transaction->update(v1);
  transaction->commit();
  transaction.reset();
  EXPECT_THAT(names_of(catalog_->snapshots(dev_.id)), ElementsAre("v1", "v2"));
  EXPECT_THAT(names_of(catalog_->snapshots(project_.id)), ElementsAre("v1", "v1", "v2"));
  EXPECT_EQ(catalog_->snapshots(dev_.id)[0].message, "the first");

  transaction = catalog_->begin();
  transaction->remove_snapshot(v1.id);
  transaction->commit();
  EXPECT_THAT(names_of(catalog_->snapshots(dev_.id)), ElementsAre("v2"));
}

TEST_F(CatalogWithBranches, DoesNotLetABranchGoBeforeItsSnapshotsAndBodies) {
  const SnapshotRecord snapshot = make_snapshot(dev_, "v1", 10);
  const IncarnationRecord body = make_incarnation(dev_, 5);
  insert_all(*catalog_, snapshot, body);
  const auto remove = [&](bool with_snapshot, bool with_body) {
    auto transaction = catalog_->begin();
    transaction->remove_branch(dev_.id);
    if (with_snapshot) transaction->remove_snapshot(snapshot.id);
    if (with_body) transaction->remove_incarnation(body.id);
    transaction->commit();
  };
  EXPECT_EQ(error_of([&] { remove(true, false); }).code(), ErrorCode::conflict);
  EXPECT_EQ(error_of([&] { remove(false, true); }).code(), ErrorCode::conflict);
  remove(true, true);
  EXPECT_FALSE(catalog_->find_branch(dev_.id));
}

TEST_F(CatalogWithBranches, HasOneScheduleForABranchWhichGoesWithIt) {
  EXPECT_FALSE(catalog_->find_schedule(dev_.id));
  for (const auto& [every, keep] : {std::pair(60, "5m"), std::pair(0, "24h,14d")}) {
    auto transaction = catalog_->begin();
    transaction->put(ScheduleRecord{.branch = dev_.id, .every = std::chrono::seconds(every), .keep = keep});
    transaction->put(ScheduleRecord{.branch = main_.id, .every = std::chrono::seconds(every), .keep = keep});
    transaction->commit();
    transaction.reset();
    const auto schedule = catalog_->find_schedule(dev_.id);
    ASSERT_TRUE(schedule);
    EXPECT_EQ(schedule->branch, dev_.id);
    EXPECT_EQ(schedule->every, std::chrono::seconds(every));
    EXPECT_EQ(schedule->keep, keep);
    EXPECT_EQ(catalog_->schedules().size(), 2u);
  }
  auto transaction = catalog_->begin();
  transaction->remove_branch(dev_.id);
  transaction->remove_schedule(main_.id);
  transaction->commit();
  EXPECT_FALSE(catalog_->find_schedule(dev_.id));
  EXPECT_FALSE(catalog_->find_schedule(main_.id));
}

TEST_F(CatalogWithBranches, RemembersWhoSleepsAndAfterHowLong) {
  EXPECT_FALSE(catalog_->find_branch(dev_.id)->is_suspended);
  EXPECT_FALSE(catalog_->find_branch(dev_.id)->suspend_after);
  dev_.wants_running = false;
  dev_.is_suspended = true;
  dev_.suspend_after = std::chrono::minutes(5);
  main_.suspend_after = std::chrono::seconds(0);
  project_.suspend_after = std::chrono::hours(1);
  project_.files = {{"postgresql.conf", "work_mem = '7MB'\n"}};
  auto transaction = catalog_->begin();
  transaction->update(dev_);
  transaction->update(main_);
  transaction->update(project_);
  transaction->commit();
  EXPECT_TRUE(catalog_->find_branch(dev_.id)->is_suspended);
  EXPECT_EQ(catalog_->find_branch(dev_.id)->suspend_after, std::chrono::seconds(300));
  EXPECT_EQ(catalog_->find_branch(main_.id)->suspend_after, std::chrono::seconds(0));
  EXPECT_FALSE(catalog_->find_branch(main_.id)->is_suspended);
  EXPECT_EQ(catalog_->find_project(project_.id)->suspend_after, std::chrono::seconds(3600));
  EXPECT_EQ(catalog_->find_project(project_.id)->files, project_.files);
}

TEST_F(CatalogWithBranches, TakesNoBranchThatSleepsAndShallRun) {
  dev_.wants_running = true;
  dev_.is_suspended = true;
  auto transaction = catalog_->begin();
  EXPECT_THROW(transaction->update(dev_), Error);
}

TEST_F(CatalogWithBranches, ForgetsTheSelectedBranchWithTheBranch) {
  EXPECT_FALSE(catalog_->selected_branch());
  const auto select = [&](const std::optional<BranchId>& branch) {
    auto transaction = catalog_->begin();
    transaction->select_branch(branch);
    transaction->commit();
  };
  select(main_.id);
  EXPECT_EQ(catalog_->selected_branch()->id, main_.id);
  select(std::nullopt);
  EXPECT_FALSE(catalog_->selected_branch());
  select(dev_.id);
  EXPECT_EQ(catalog_->selected_branch()->name, dev_.name);
  auto transaction = catalog_->begin();
  transaction->remove_branch(dev_.id);
  transaction->commit();
  EXPECT_FALSE(catalog_->selected_branch());
}

// The file was written by the pgtwig that had schema 1: main, dev, a branch of dev, and dev reset afterwards.
TEST_F(CatalogTest, TakesOverACatalogOfSchema1WithABodyForEachBranch) {
  std::filesystem::copy_file(pgtwig::support::source_directory() / "tests/unit/catalog/schema-1.db", file_);
  const auto catalog = open();
  const auto project = catalog->find_project(*ProjectName::parse("demo")).value();
  const auto branches = catalog->branches(project.id);
  EXPECT_THAT(names_of(branches), ElementsAre("main", "dev", "dev2"));
  EXPECT_EQ(catalog->incarnations(project.id).size(), branches.size());
  for (const BranchRecord& branch : branches) {
    const auto bodies = catalog->incarnations(branch.id);
    ASSERT_EQ(bodies.size(), 1u) << branch.name.text();
    EXPECT_EQ(bodies[0].id, branch.incarnation);
    EXPECT_EQ(bodies[0].project, project.id);
    EXPECT_EQ(bodies[0].cause, "create");
    EXPECT_EQ(bodies[0].origin, branch.origin.branch);
    EXPECT_EQ(bodies[0].own_from, Lsn{0});
    EXPECT_EQ(bodies[0].timeline, 1u);
    EXPECT_EQ(bodies[0].began_at, std::max(branch.created_at, branch.origin.time));
    EXPECT_FALSE(bodies[0].ended_at);
    EXPECT_FALSE(bodies[0].snapshot);
    EXPECT_FALSE(branch.is_suspended);
    EXPECT_FALSE(branch.suspend_after);
  }
  EXPECT_EQ(catalog->incarnations(branches[1].id)[0].source, branches[0].incarnation);
  // It was made of the body that dev had before its reset.
  EXPECT_EQ(catalog->incarnations(branches[2].id)[0].source, std::nullopt);
  EXPECT_TRUE(catalog->snapshots(project.id).empty());
  EXPECT_FALSE(catalog->operations(100).empty());
}

TEST_F(CatalogTest, TakesOverACatalogOfSchema1OnlyOnce) {
  std::filesystem::copy_file(pgtwig::support::source_directory() / "tests/unit/catalog/schema-1.db", file_);
  const InstallationId installation = open()->installation();
  const auto catalog = open();
  EXPECT_EQ(catalog->installation(), installation);
  const auto project = catalog->find_project(*ProjectName::parse("demo")).value();
  EXPECT_EQ(catalog->incarnations(project.id).size(), 3u);
}

TEST_F(CatalogTest, RefusesTheCatalogOfANewerPgtwig) {
  open();
  run_sql("PRAGMA user_version = 1000");
  Error error = open_error();
  EXPECT_EQ(error.code(), ErrorCode::conflict);
  EXPECT_THAT(error.message(), HasSubstr("newer pgtwig"));
}

TEST_F(CatalogTest, NamesTheRebuildWhenTheFileIsNoDatabase) {
  std::ofstream(file_) << std::string(10'000, 'x');
  Error error = open_error();
  EXPECT_EQ(error.code(), ErrorCode::internal);
  EXPECT_THAT(error.message(), HasSubstr("damaged"));
  EXPECT_THAT(error.hint(), HasSubstr("pgtwig state rebuild"));
}

TEST_F(CatalogTest, NamesTheRebuildWhenPagesAreOverwritten) {
  {
    auto catalog = open();
    PoolRecord pool = make_pool();
    ProjectRecord project = make_project(pool);
    insert_all(*catalog, pool, project);
    for (int i = 0; i < 200; ++i) {
      insert_all(*catalog, make_branch(project, "b" + std::to_string(i), static_cast<std::uint16_t>(7000 + i)));
    }
  }
  std::fstream file(file_, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(4096);
  file << std::string(std::filesystem::file_size(file_) - 4096, '\x5a');
  file.close();
  Error error = open_error();
  EXPECT_EQ(error.code(), ErrorCode::internal);
  EXPECT_THAT(error.hint(), HasSubstr("pgtwig state rebuild"));
}

TEST_F(CatalogTest, LeavesAnotherProgramsDatabaseAlone) {
  run_sql("CREATE TABLE bookmarks (url TEXT)");
  EXPECT_THAT(open_error().message(), HasSubstr("another program's database"));
  run_sql("INSERT INTO bookmarks VALUES ('x')");
}

TEST_F(CatalogTest, TakesUpAnEmptyFileThatACrashLeft) {
  std::ofstream{file_};
  EXPECT_TRUE(open()->pools().empty());
}

TEST_F(CatalogTest, NamesTheRebuildWhenARowCanNotBeOurs) {
  PoolRecord pool = make_pool();
  insert_all(*open(), pool);
  run_sql("UPDATE pools SET id = 'nonsense'");
  auto catalog = open();
  Error error = error_of([&] { catalog->pools(); });
  EXPECT_EQ(error.code(), ErrorCode::internal);
  EXPECT_THAT(error.hint(), HasSubstr("pgtwig state rebuild"));
}

}  // namespace
}  // namespace pgtwig::catalog
