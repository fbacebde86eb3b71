// Snapshots of running and stopped branches, branches made of them, and what becomes of them when their branch goes.
#include <gmock/gmock.h>

#include "base/fs.h"
#include "engine/body.h"
#include "engine/housekeeping.h"
#include "engine/restore_point_keeper.h"
#include "engine/schedule.h"
#include "engine/sweeper.h"
#include "postgres/control_file.h"
#include "tests/unit/engine/engine_fixture.h"

namespace pgtwig::engine {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class Snapshots : public EngineTest {
 protected:
  Snapshots() {
    make_project();
    sql("main", "CREATE TABLE public.rows (n int)");
  }

  std::string sql(const std::string& branch, const std::string& statement) {
    const auto rows = engine_->instances().admin(require_body(*engine_, path(branch)))->query(statement);
    return rows.empty() ? "" : rows.at(0).at(0).value_or("");
  }
  void insert(const std::string& branch, int number) {
    sql(branch, "INSERT INTO public.rows VALUES (" + std::to_string(number) + ")");
  }
  std::string rows(const std::string& branch) {
    return sql(branch, "SELECT coalesce(string_agg(n::text, ',' ORDER BY n), '') FROM public.rows");
  }

  SnapshotView take(const std::string& branch, const std::string& name,
                    catalog::SnapshotKind kind = catalog::SnapshotKind::manual) {
    return create_snapshot(*engine_, {.branch = path(branch), .name = name, .kind = kind}, listener_);
  }
  BranchView make_branch(const std::string& name, const std::string& from) {
    return create_branch(*engine_, {.path = path(name), .from = *parse_branch_reference(from)}, listener_);
  }
  catalog::SnapshotRecord record(const std::string& branch, const std::string& name) {
    return engine_->catalog().find_snapshot(require_branch(*engine_, path(branch)).second.id, name).value();
  }
  void put(const catalog::SnapshotRecord& snapshot) {
    auto transaction = engine_->catalog().begin();
    transaction->update(snapshot);
    transaction->commit();
  }
  std::vector<std::string> names(const SnapshotFilter& filter = {}) {
    std::vector<std::string> list;
    for (const auto& snapshot : list_snapshots(*engine_, filter)) list.push_back(snapshot.name);
    return list;
  }
  ErrorCode code_of(const std::function<void()>& call) {
    try {
      call();
    } catch (const Error& error) {
      said_ = error.message() + " | " + error.hint();
      return error.code();
    }
    ADD_FAILURE() << "nothing was thrown";
    return ErrorCode::internal;
  }
  void settle() { engine_->sweeper().wait_until_idle(); }

  std::string said_;
};

TEST_F(Snapshots, OfARunningBranchHoldWhatWasThereAndNothingLater) {
  insert("main", 1);
  const SnapshotView view =
      create_snapshot(*engine_, {.branch = path("main"), .name = "v1", .message = "the first"}, listener_);
  insert("main", 2);
  EXPECT_EQ(view.name, "demo/main@v1");
  EXPECT_EQ(view.snapshot, "v1");
  EXPECT_EQ(view.message, "the first");
  EXPECT_EQ(view.kind, "manual");
  EXPECT_EQ(view.pool, "memory");
  EXPECT_FALSE(view.steps.empty());

  const BranchView branch = make_branch("dev", "demo/main@v1");
  EXPECT_EQ(rows("dev"), "1");
  EXPECT_EQ(branch.parent, "demo/main");
  ASSERT_TRUE(branch.origin);
  EXPECT_EQ(branch.origin->branch, "demo/main");
  EXPECT_EQ(branch.origin->snapshot, "v1");
  insert("dev", 3);
  make_branch("again", "main@v1");
  EXPECT_EQ(rows("again"), "1");
  EXPECT_EQ(rows("main"), "1,2");
}

TEST_F(Snapshots, KnowTheMomentThatTheyHold) {
  insert("main", 1);
  const auto before = *parse_lsn(sql("main", "SELECT pg_current_wal_insert_lsn()::text"));
  const auto xid = std::stoull(sql("main", "SELECT pg_current_xact_id()::text"));
  const TimePoint asked = engine_->clock().now();
  take("main", "running");
  const auto running = record("main", "running");
  EXPECT_LE(running.redo, running.end);
  EXPECT_LE(before, running.end);
  EXPECT_LE(running.end, *parse_lsn(sql("main", "SELECT pg_current_wal_insert_lsn()::text")));
  EXPECT_GT(running.next_xid, xid);
  EXPECT_LE(running.next_xid, std::stoull(sql("main", "SELECT pg_current_xact_id()::text")));
  EXPECT_LE(asked, running.created_at);
  EXPECT_EQ(running.timeline, 1u);
  EXPECT_EQ(running.incarnation, require_body(*engine_, path("main")).branch.incarnation);

  stop_branch(*engine_, path("main"), listener_);
  take("main", "stopped");
  const auto stopped = record("main", "stopped");
  const UniqueFd data = open_directory(require_body(*engine_, path("main")).data());
  const auto control = postgres::read_control_file(data.get());
  EXPECT_EQ(stopped.end, control.checkpoint);
  EXPECT_EQ(stopped.redo, control.redo);
  EXPECT_EQ(stopped.next_xid, control.next_xid);
  make_branch("dev", "main@stopped");
  EXPECT_EQ(rows("dev"), "1");
}

TEST_F(Snapshots, OfACrashedBranchPromiseNothingThatMayBeMissing) {
  const auto main = require_body(*engine_, path("main"));
  insert("main", 1);
  const auto before = *parse_lsn(sql("main", "SELECT pg_current_wal_insert_lsn()::text"));
  engine_->instances().stop(main, runtime::StopMode::immediate);
  take("main", "crashed");
  EXPECT_GT(record("main", "crashed").end, before);
  EXPECT_GT(record("main", "crashed").next_xid, 1ull << 60);
  make_branch("dev", "main@crashed");
  EXPECT_EQ(rows("dev"), "1");
}

TEST_F(Snapshots, HaveNamesThatAreTheirOwn) {
  take("main", "v1");
  EXPECT_EQ(code_of([&] { take("main", "v1"); }), ErrorCode::already_exists);
  make_branch("dev", "main");
  take("dev", "v1");
  const auto first = create_snapshot(*engine_, {.branch = path("dev")}, listener_);
  const auto second = create_snapshot(*engine_, {.branch = path("dev")}, listener_);
  EXPECT_NE(first.name, second.name);
  EXPECT_THAT(first.snapshot, ::testing::MatchesRegex("2[0-9]+-[0-9]+"));
  EXPECT_THAT(names({.branch = path("dev")}), ElementsAre("demo/dev@v1", first.name, second.name));
  EXPECT_THAT(names({.project = *ProjectName::parse("demo")}), SizeIs(4));
  for (const char* bad :
       {"", "now", "10m", "a/b", "2 hours ago", "xid:5", "-x", "a b", "0/16B3748", "restore-point:x"}) {
    EXPECT_EQ(code_of([&] { take("main", bad); }), ErrorCode::invalid_argument) << bad;
  }
}

TEST_F(Snapshots, AreFoundByNameOrTheBeginningOfTheirId) {
  const std::string id = take("main", "before-migration").id;
  EXPECT_EQ(get_snapshot(*engine_, path("main"), "before-migration").id, id);
  EXPECT_EQ(get_snapshot(*engine_, path("main"), id.substr(0, 8)).id, id);
  EXPECT_EQ(code_of([&] { get_snapshot(*engine_, path("main"), id.substr(0, 2)); }), ErrorCode::not_found);
  EXPECT_EQ(code_of([&] { get_snapshot(*engine_, path("main"), "before-migratoin"); }), ErrorCode::not_found);
  EXPECT_THAT(said_, HasSubstr("demo/main@before-migration?"));
  EXPECT_EQ(code_of([&] { make_branch("dev", "main@nowhere"); }), ErrorCode::not_found);
}

TEST_F(Snapshots, AreFoundWithoutTheirBranchWhereOneNameMeansOne) {
  insert("main", 1);
  make_branch("dev", "main");
  make_branch("test", "main");
  insert("dev", 2);
  take("dev", "only-here");
  make_branch("a", "only-here");
  EXPECT_EQ(rows("a"), "1,2");
  EXPECT_EQ(get_branch(*engine_, path("a")).parent, "demo/dev");
  take("dev", "both");
  take("test", "both");
  EXPECT_EQ(code_of([&] { make_branch("b", "both"); }), ErrorCode::invalid_argument);
  EXPECT_THAT(said_, HasSubstr("--from demo/dev@both"));
  take("main", "both");
  make_branch("b", "both");
  EXPECT_EQ(rows("b"), "1");
}

TEST_F(Snapshots, CanBeDeletedAndBranchesMadeOfThemLiveOn) {
  insert("main", 1);
  take("main", "v1");
  make_branch("dev", "main@v1");
  EXPECT_THAT(get_snapshot(*engine_, path("main"), "v1").branches, ElementsAre("demo/dev"));
  EXPECT_THAT(delete_snapshot(*engine_, {.branch = path("main"), .name_or_id = "v1"}, listener_),
              ElementsAre("demo/main@v1"));
  settle();
  EXPECT_THAT(names(), IsEmpty());
  EXPECT_THAT(volumes(), SizeIs(2));
  EXPECT_EQ(rows("dev"), "1");
  EXPECT_EQ(code_of([&] { delete_snapshot(*engine_, {.branch = path("main"), .name_or_id = "v1"}, listener_); }),
            ErrorCode::not_found);
  for (const char* branch : {"main", "none"}) {
    const DeleteSnapshot request{.branch = path(branch), .name_or_id = "v1", .if_exists = true};
    EXPECT_THAT(delete_snapshot(*engine_, request, listener_), IsEmpty());
  }
}

TEST_F(Snapshots, OutliveAResetOfTheirBranchWhichCanGoBackToThem) {
  insert("main", 1);
  make_branch("dev", "main");
  insert("dev", 2);
  const std::string password = branch_credentials(*engine_, path("dev")).password;
  take("dev", "mine");
  reset_branch_password(*engine_, path("dev"), "another-one", listener_);
  reset_branch(*engine_, {.path = path("dev")}, listener_);
  settle();
  EXPECT_EQ(rows("dev"), "1");
  EXPECT_THAT(names(), ElementsAre("demo/dev@mine"));
  make_branch("old", "dev@mine");
  EXPECT_EQ(branch_credentials(*engine_, path("old")).password, password);
  reset_branch(*engine_, {.path = path("dev"), .from = *parse_branch_reference("^self@mine")}, listener_);
  EXPECT_EQ(rows("dev"), "1,2");
  EXPECT_EQ(branch_credentials(*engine_, path("dev")).password, "another-one");
  EXPECT_EQ(get_branch(*engine_, path("dev")).parent, "demo/main");
  EXPECT_EQ(code_of([&] {
              reset_branch(*engine_, {.path = path("dev"), .from = *parse_branch_reference("^self")}, listener_);
            }),
            ErrorCode::invalid_argument);
}

TEST_F(Snapshots, ThatSomebodyTookHoldTheirBranchUnlessItIsACascade) {
  make_branch("dev", "main");
  take("dev", "auto", catalog::SnapshotKind::scheduled);
  take("dev", "v1");
  EXPECT_EQ(code_of([&] { delete_branch(*engine_, {.path = path("dev")}, listener_); }), ErrorCode::conflict);
  EXPECT_THAT(said_, HasSubstr("demo/dev@v1"));
  EXPECT_THAT(said_, HasSubstr("--cascade"));
  delete_snapshot(*engine_, {.branch = path("dev"), .name_or_id = "v1"}, listener_);
  delete_branch(*engine_, {.path = path("dev")}, listener_);
  settle();
  EXPECT_THAT(volumes(), SizeIs(1));

  make_branch("dev", "main");
  take("dev", "v1");
  delete_branch(*engine_, {.path = path("dev"), .cascade = true}, listener_);
  take("main", "v1");
  EXPECT_EQ(code_of([&] { delete_project(*engine_, {.name = *ProjectName::parse("demo")}, listener_); }),
            ErrorCode::conflict);
  EXPECT_THAT(said_, HasSubstr("--force"));
  const DeleteProject request{.name = *ProjectName::parse("demo"), .force = true, .if_exists = true};
  EXPECT_THAT(delete_project(*engine_, request, listener_), ElementsAre("demo"));
  EXPECT_THAT(delete_project(*engine_, request, listener_), IsEmpty());
  settle();
  EXPECT_THAT(volumes(), IsEmpty());
  EXPECT_THAT(engine_->catalog().sweep_list(), IsEmpty());
}

TEST_F(Snapshots, LeaveNothingBehindWhenTheyFail) {
  insert("main", 1);
  for (const char* effect : {"fork.begin", "fork.file", "fork.end"}) {
    set_effect_hook([&](std::string_view reached) {
      if (reached == effect) throw Error(ErrorCode::storage_failed, "injected");
    });
    EXPECT_EQ(code_of([&] { take("main", "v1"); }), ErrorCode::storage_failed) << effect;
    set_effect_hook({});
    EXPECT_THAT(volumes(), SizeIs(1)) << effect;
    EXPECT_THAT(engine_->catalog().sweep_list(), IsEmpty()) << effect;
    EXPECT_THAT(names(), IsEmpty()) << effect;
  }
  EXPECT_EQ(rows("main"), "1");
  take("main", "v1");
}

TEST_F(Snapshots, AreKnownToThePool) {
  take("main", "v1");
  const PoolView pool = get_pool(*engine_, *PoolName::parse("memory"));
  EXPECT_THAT(pool.unowned, IsEmpty());
  EXPECT_EQ(pool.volume_count, 2);
}

TEST_F(Snapshots, ThatAreOldAreCleanedUpUnlessSomethingNeedsThem) {
  for (const char* name : {"a", "b", "with-branch", "needed", "fresh"}) take("main", name);
  make_branch("dev", "main@with-branch");
  int age = 50;
  for (const char* name : {"a", "b", "with-branch", "needed"}) {
    auto snapshot = record("main", name);
    snapshot.created_at = engine_->clock().now() - std::chrono::days(age--);
    put(snapshot);
  }
  CleanUpSnapshots request{.branch = path("main"), .older_than = std::chrono::days(30), .dry_run = true};
  const SnapshotCleanup dry = clean_up_snapshots(*engine_, request, listener_);
  EXPECT_THAT(dry.deleted, ElementsAre("demo/main@a", "demo/main@b"));
  EXPECT_THAT(dry.kept, ElementsAre("demo/main@with-branch: it has branches",
                                    "demo/main@needed: recovery to the last 7d begins with it"));
  EXPECT_THAT(names(), SizeIs(5));
  request.dry_run = false;
  EXPECT_EQ(clean_up_snapshots(*engine_, request, listener_).deleted, dry.deleted);
  EXPECT_THAT(names(), ElementsAre("demo/main@with-branch", "demo/main@needed", "demo/main@fresh"));
}

class Schedules : public Snapshots {
 protected:
  Schedules() { engine_->housekeeping().end(); }  // every few seconds a keeper of its own looks for what is due

  void take_due() {
    keeper_->take_due([] { return false; });
  }
  void make_older(std::chrono::seconds by) {
    for (auto snapshot : engine_->catalog().snapshots(require_branch(*engine_, path("main")).second.id)) {
      snapshot.created_at -= by;
      put(snapshot);
    }
    keeper_ = std::make_unique<RestorePointKeeper>(*engine_);  // it has looked at nothing yet
  }
  std::unique_ptr<RestorePointKeeper> keeper_ = std::make_unique<RestorePointKeeper>(*engine_);
};

TEST_F(Schedules, AreWhatWasSetOrWhatTheConfigurationSays) {
  ScheduleView view = get_schedule(*engine_, path("main"));
  EXPECT_TRUE(view.is_default);
  EXPECT_EQ(view.every, "off");
  EXPECT_EQ(view.keep, "24h,14d,8w");
  EXPECT_FALSE(view.next);
  view = set_schedule(*engine_, {.branch = path("main"), .every = 2h, .keep = "3d"});
  EXPECT_FALSE(view.is_default);
  EXPECT_EQ(view.every, "2h");
  EXPECT_EQ(view.keep, "3d");
  EXPECT_TRUE(view.next);
  EXPECT_EQ(set_schedule(*engine_, {.branch = path("main"), .every = 0s}).every, "off");
  EXPECT_EQ(set_schedule(*engine_, {.branch = path("main"), .keep = "5w"}).every, "off");
  EXPECT_TRUE(set_schedule(*engine_, {.branch = path("main")}).is_default);
  EXPECT_EQ(code_of([&] { set_schedule(*engine_, {.branch = path("main"), .keep = "much"}); }),
            ErrorCode::invalid_argument);
}

TEST_F(Schedules, TakeTheFirstAtOnceAndTheNextWhenTheirTimeHasComeAndSomethingWasWritten) {
  take_due();
  EXPECT_THAT(names(), IsEmpty());
  set_schedule(*engine_, {.branch = path("main"), .every = 1h});
  take_due();
  ASSERT_THAT(names(), SizeIs(1));
  EXPECT_EQ(list_snapshots(*engine_, {}).at(0).kind, "scheduled");
  insert("main", 1);
  take_due();
  EXPECT_THAT(names(), SizeIs(1));
  make_older(2h);
  take_due();
  EXPECT_THAT(names(), SizeIs(2));
  // Nothing was written since, though PostgreSQL has written of its own accord.
  sql("main", "CHECKPOINT");
  make_older(2h);
  take_due();
  EXPECT_THAT(names(), SizeIs(2));
  stop_branch(*engine_, path("main"), listener_);
  make_older(2h);
  take_due();
  EXPECT_THAT(names(), SizeIs(2));
  start_branch(*engine_, {.path = path("main")}, listener_);
  insert("main", 2);
  stop_branch(*engine_, path("main"), listener_);
  make_older(2h);
  take_due();
  EXPECT_THAT(names(), SizeIs(3));
}

TEST_F(Schedules, RemoveWhatTheirRulesDoNotKeep) {
  for (const char* name : {"a", "b", "c", "d"}) take("main", name, catalog::SnapshotKind::scheduled);
  take("main", "mine");
  int age = 40;
  for (const char* name : {"a", "b", "mine", "c"}) {
    auto snapshot = record("main", name);
    snapshot.created_at = engine_->clock().now() - std::chrono::days(age--);
    put(snapshot);
  }
  set_schedule(*engine_, {.branch = path("main"), .keep = "2h"});
  keeper_->prune([] { return false; });
  settle();
  // c is where a recovery to the last seven days begins.
  EXPECT_THAT(names(), ElementsAre("demo/main@mine", "demo/main@c", "demo/main@d"));
  EXPECT_THAT(volumes(), SizeIs(4));
}

}  // namespace
}  // namespace pgtwig::engine
