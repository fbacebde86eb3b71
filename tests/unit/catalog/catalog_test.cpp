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

namespace pgtwig::catalog {
namespace {

using pgtwig::testing::error_of;
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
