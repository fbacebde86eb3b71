// The commands of snapshots, recovery and the WAL archive: what they ask of the daemon, and what they print.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/json.h"
#include "tests/unit/cli/fake_world.h"

namespace pgtwig::cli::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Words = std::vector<std::string>;

constexpr const char* snapshots_of_main = "POST /v1/projects/demo/branches/main/snapshots";
constexpr const char* snapshots_of_dev = "POST /v1/projects/demo/branches/dev/snapshots";

std::string taken(const std::string& branch, const std::string& name) {
  auto view = snapshot_view(branch, name);
  view.total_ms = 12;
  return api::to_json(view);
}

TEST(SnapshotCreate, SendsNameAndMessageByEveryAlias) {
  for (const char* noun : {"snapshot", "snapshots", "snap", "commit", "commits"})
    for (const char* flag : {"-m", "--message", "--label"}) {
      FakeWorld world;
      world.daemon.answers(snapshots_of_main, taken("demo/main", "v1"));
      EXPECT_EQ(0, world.run({noun, "create", "demo/main", "v1", flag, "schema 12"}));
      EXPECT_EQ(R"({"name":"v1","message":"schema 12"})", world.daemon.requests.at(0).body);
      EXPECT_EQ("demo/main@v1\n", world.console.data);
      EXPECT_EQ("Taken in 12 ms\n", world.console.words);
    }
}

TEST(SnapshotCreate, IsAlsoAVerbOfTheBranchAndTakesTheNameBehindASign) {
  FakeWorld world;
  world.daemon.answers(snapshots_of_main, taken("demo/main", "v1"));
  EXPECT_EQ(0, world.run({"branch", "snapshot", "demo/main", "v1", "-m", "x"}));
  EXPECT_EQ(0, world.run({"snapshot", "create", "demo/main@v1", "-m", "x"}));
  EXPECT_EQ(world.daemon.requests.at(0).body, world.daemon.requests.at(1).body);
  EXPECT_EQ(0, world.run({"branch", "snapshot", "demo/main"}));
  EXPECT_EQ("{}", world.daemon.requests.at(2).body);
  EXPECT_EQ(1, world.run({"snapshot", "create", "demo/main@v1", "v2"}));
  EXPECT_THAT(world.console.words, HasSubstr("'demo/main@v1' and 'v2' both name the snapshot"));
}

TEST(SnapshotCreate, OfOneWordIsOfThatBranchOrHasThatName) {
  FakeWorld world;
  world.world.environment["PGTWIG_PROJECT"] = "demo";
  world.daemon.answers("GET /v1/projects/demo/branches/dev", branch_json("demo/dev"));
  world.daemon.answers(snapshots_of_dev, taken("demo/dev", "20260301-120000"));
  world.daemon.answers(snapshots_of_main, taken("demo/main", "works"));
  EXPECT_EQ(0, world.run({"commit", "create", "dev"}));
  EXPECT_EQ(0, world.run({"commit", "create", "works"}));
  EXPECT_THAT(world.asked(), ElementsAre("GET /v1/projects/demo/branches/dev", snapshots_of_dev,
                                         "GET /v1/projects/demo/branches/works", snapshots_of_main));
  EXPECT_EQ("{}", world.daemon.requests.at(1).body);
  EXPECT_EQ(R"({"name":"works"})", world.daemon.requests.at(3).body);
}

TEST(SnapshotCreate, OfAWordThatNamesNoBranchIsOfTheBranchInUse) {
  FakeWorld world;
  world.world.environment["PGTWIG_PROJECT"] = "demo";
  world.world.environment["PGTWIG_BRANCH"] = "dev";
  world.daemon.answers(snapshots_of_dev, taken("demo/dev", "works"));
  EXPECT_EQ(0, world.run({"commit", "create", "works"}));
  EXPECT_EQ(R"({"name":"works"})", world.daemon.requests.back().body);
  EXPECT_EQ(0, world.run({"commit", "create", "-m", "so far"}));
  EXPECT_EQ(R"({"message":"so far"})", world.daemon.requests.back().body);
}

TEST(SnapshotCreate, DoesNotTakeAFailureForAMissingBranch) {
  FakeWorld world;
  world.world.environment["PGTWIG_PROJECT"] = "demo";
  world.daemon.refuses("GET /v1/projects/demo/branches/works", Error(ErrorCode::busy, "later", "again"));
  EXPECT_EQ(5, world.run({"commit", "create", "works"}));
  EXPECT_EQ(1u, world.daemon.requests.size());
}

TEST(SnapshotList, IsOfABranchAProjectOrAll) {
  FakeWorld world;
  const std::string list = snapshots_json({snapshot_view("demo/main", "v1"), snapshot_view("demo/main", "v2")});
  world.daemon.answers("GET /v1/projects", projects_json({"demo", "shop"}));
  for (const char* query : {"", "?project=demo", "?branch=demo%2Fmain", "?branch=demo%2Fdev"})
    world.daemon.answers(std::string("GET /v1/snapshots") + query, list);
  EXPECT_EQ(0, world.run({"snapshot", "list", "-o", "name"}));
  EXPECT_EQ("demo/main@v1\ndemo/main@v2\n", world.console.data);
  EXPECT_EQ(0, world.run({"snapshot", "ls", "demo"}));
  EXPECT_EQ(0, world.run({"snapshot", "ls", "demo/main"}));
  EXPECT_EQ(0, world.run({"snapshot", "ls", "dev", "--project", "demo"}));
  world.world.environment["PGTWIG_PROJECT"] = "demo";
  EXPECT_EQ(0, world.run({"snapshot", "ls"}));
  EXPECT_EQ(0, world.run({"snapshot", "ls", "dev"}));
  EXPECT_EQ(0, world.run({"snapshot", "ls", "--all"}));
  EXPECT_THAT(world.asked(), ElementsAre("GET /v1/snapshots", "GET /v1/projects", "GET /v1/snapshots?project=demo",
                                         "GET /v1/snapshots?branch=demo%2Fmain", "GET /v1/snapshots?branch=demo%2Fdev",
                                         "GET /v1/snapshots?project=demo", "GET /v1/projects",
                                         "GET /v1/snapshots?branch=demo%2Fdev", "GET /v1/snapshots"));
}

TEST(SnapshotGetAndDelete, TakeTheNameOrTheIdBehindTheBranch) {
  const std::string target = " /v1/projects/demo/branches/feature%2Fx/snapshots/12d";
  for (const char* verb : {"get", "show", "info"}) {
    FakeWorld world;
    world.daemon.answers("GET" + target, taken("demo/feature/x", "v1"));
    EXPECT_EQ(0, world.run({"snapshot", verb, "demo/feature/x@12d", "-o", "name"}));
    EXPECT_EQ("demo/feature/x@v1\n", world.console.data);
  }
  for (const char* verb : {"delete", "rm", "remove"}) {
    FakeWorld world;
    world.daemon.answers("DELETE" + target + "?if_exists=true", R"({"deleted":["demo/feature/x@v1"]})");
    EXPECT_EQ(0, world.run({"commit", verb, "demo/feature/x@12d", "--if-exists"}));
    EXPECT_EQ("Deleted demo/feature/x@v1\n", world.console.words);
  }
}

TEST(SnapshotDelete, OfNothingIsFineWithIfExists) {
  FakeWorld world;
  world.daemon.answers("DELETE /v1/projects/demo/branches/main/snapshots/v1?if_exists=true", R"({"deleted":[]})");
  EXPECT_EQ(0, world.run({"snapshot", "rm", "demo/main@v1", "--if-exists"}));
  EXPECT_EQ("There is no demo/main@v1: nothing to delete\n", world.console.words);
}

TEST(SnapshotGetAndDelete, TakeANameAloneAndRefuseABranchAlone) {
  FakeWorld world;
  world.world.environment["PGTWIG_PROJECT"] = "demo";
  world.daemon.answers("GET /v1/projects/demo/branches/main/snapshots/v1", taken("demo/main", "v1"));
  EXPECT_EQ(0, world.run({"snapshot", "get", "v1", "-o", "name"}));
  for (const char* word : {"demo/main", "demo/main@"}) {
    EXPECT_EQ(1, world.run({"snapshot", "delete", word}));
    EXPECT_THAT(world.console.words, HasSubstr("hint: write it behind '@': demo/main@NAME"));
  }
  EXPECT_EQ(1u, world.daemon.requests.size());
}

TEST(SnapshotCleanup, NeverMeansEverythingUnlessToldTo) {
  const std::string answer =
      R"({"deleted":["demo/main@a"],"kept":["demo/main@v1: it has branches"],"is_dry_run":true})";
  FakeWorld world;
  world.daemon.answers("GET /v1/projects", projects_json({"demo"}));
  world.daemon.answers("POST /v1/snapshots/cleanup", answer);
  EXPECT_EQ(0, world.run({"snapshot", "cleanup", "--days", "30", "--dry-run"}));
  EXPECT_EQ(R"({"days":30,"project":"demo","dry_run":true})", world.daemon.requests.back().body);
  EXPECT_EQ("SNAPSHOT      OUTCOME\ndemo/main@a   would be deleted\ndemo/main@v1  kept: it has branches\n",
            world.console.data);
  EXPECT_EQ("Would delete 1, kept 1\n", world.console.words);
  EXPECT_EQ(0, world.run({"snapshot", "cleanup", "demo/dev", "--days", "0", "-o", "name"}));
  EXPECT_EQ(R"({"days":0,"branch":"demo/dev"})", world.daemon.requests.back().body);
  EXPECT_EQ(0, world.run({"snapshot", "cleanup", "--all", "--days", "30", "-o", "name"}));
  EXPECT_EQ(R"({"days":30})", world.daemon.requests.back().body);
}

TEST(SnapshotCleanup, RefusesWhatContradictsItselfAndAsksOnATerminal) {
  for (const Words& words : {Words{"snapshot", "cleanup", "demo/dev"},
                             {"snapshot", "cleanup", "demo/dev", "--all", "--days", "1"},
                             {"snapshot", "cleanup", "demo/dev", "--days", "-1"},
                             {"wal", "cleanup"}}) {
    FakeWorld world;
    EXPECT_EQ(1, world.run(words));
    EXPECT_THAT(world.console.words, HasSubstr("\nhint: "));
    EXPECT_THAT(world.asked(), IsEmpty());
  }
  FakeWorld world;
  world.console.has_person = true;
  world.console.answers = {"n", "n"};
  EXPECT_EQ(1, world.run({"snapshot", "cleanup", "demo/dev", "--days", "30"}));
  EXPECT_EQ(1, world.run({"wal", "cleanup", "demo/dev", "--days", "30"}));
  EXPECT_THAT(world.asked(), IsEmpty());
}

TEST(Schedule, IsSetReadAndUnset) {
  engine::ScheduleView schedule{.branch = "demo/main",
                                .every = "1h",
                                .keep = "24h,14d,8w",
                                .is_default = true,
                                .last = fake_now() - std::chrono::minutes(10),
                                .next = fake_now() + std::chrono::minutes(50)};
  FakeWorld world;
  const std::string target = " /v1/projects/demo/branches/main/schedule";
  world.daemon.answers("GET" + target, api::to_json(schedule));
  world.daemon.answers("PUT" + target, api::to_json(schedule));
  EXPECT_EQ(0, world.run({"snap", "schedule", "get", "demo/main"}));
  EXPECT_EQ(
      "Branch  demo/main\nEvery   1h\nKeep    24h,14d,8w\nFrom    the configuration\n"
      "Last    2026-03-01T11:50:00Z (10m ago)\nNext    2026-03-01T12:50:00Z (in 50m)\n",
      world.console.data);
  EXPECT_EQ(0, world.run({"snapshot", "schedule", "set", "demo/main", "--every", "off", "--keep", "3d"}));
  EXPECT_EQ(R"({"every":"off","keep":"3d"})", world.daemon.requests.back().body);
  EXPECT_EQ(0, world.run({"snapshot", "schedule", "unset", "demo/main"}));
  EXPECT_EQ("{}", world.daemon.requests.back().body);
  EXPECT_EQ(1, world.run({"snapshot", "schedule", "set", "demo/main"}));
  EXPECT_EQ(1, world.run({"snapshot", "schedule", "set", "demo/main", "--every", "often"}));
  EXPECT_EQ(3u, world.daemon.requests.size());
}

TEST(BranchRestore, SendsItsPointAsItWasWritten) {
  const Words points{"2 hours ago", "10m",     "2026-03-01T11:59:30.5+01:00",   "0/16B3748",
                     "before",      "xid:748", "restore-point:before-migration"};
  for (const auto& point : points)
    for (const Words& words : {Words{"branch", "restore", "demo/main", "--at", point},
                               {"b", "restore", "demo/main", "--pitr", point},
                               {"b", "restore", "demo/main@" + point}}) {
      FakeWorld world;
      world.daemon.answers("POST /v1/projects/demo/branches/main/restore", branch_json("demo/main"));
      EXPECT_EQ(0, world.run(words)) << world.console.words;
      EXPECT_EQ("{\"at\":\"" + point + "\"}", world.daemon.requests.at(0).body);
    }
}

TEST(BranchRestore, NeedsExactlyOnePoint) {
  for (const Words& words : {Words{"branch", "restore", "demo/main"},
                             {"branch", "restore", "demo/main@10m", "--at", "5m"},
                             {"branch", "restore", "demo/main@"},
                             {"branch", "restore", "demo/main", "--at", "2026-13-01T00:00:00Z"}}) {
    FakeWorld world;
    EXPECT_EQ(1, world.run(words));
    EXPECT_THAT(world.console.words, HasSubstr("\nhint: "));
    EXPECT_THAT(world.asked(), IsEmpty());
  }
}

TEST(Log, IsATableNewestFirst) {
  std::vector<engine::LogEntryView> history{
      {fake_now() - std::chrono::minutes(5), "restore", "b2", "restored to 2026-03-01T11:30:00Z", "0/5000060"},
      {fake_now() - std::chrono::hours(1), "snapshot", "0123456789abcdef", "snapshot v1: schema 12", "0/3000060"}};
  FakeWorld world;
  world.daemon.answers("GET /v1/projects/demo/branches/main/history", api::to_json(history));
  EXPECT_EQ(0, world.run({"log", "demo/main"}));
  EXPECT_EQ(
      "TIME                  AGE     WHAT                              LSN        ID\n"
      "2026-03-01T11:55:00Z  5m ago  restored to 2026-03-01T11:30:00Z  0/5000060  b2\n"
      "2026-03-01T11:00:00Z  1h ago  snapshot v1: schema 12            0/3000060  0123456789ab\n",
      world.console.data);
}

TEST(WalInfo, ShowsWhatIsThereAndWhatIsMissing) {
  engine::WalView wal{.branch = "demo/main",
                      .is_archiving = true,
                      .why_not = "",
                      .segments = 12,
                      .bytes = 192_MiB,
                      .limit = 4_GiB,
                      .oldest = "000000010000000000000003",
                      .newest = "00000001000000000000000E",
                      .gaps = {{"000000010000000000000007", "000000010000000000000008", "missing"}},
                      .windows = {{fake_now() - std::chrono::hours(2), fake_now() - std::chrono::hours(1), "0/3000060",
                                   "0/7000000", false},
                                  {fake_now() - std::chrono::minutes(30) + std::chrono::microseconds(1), fake_now(),
                                   "0/9000060", "0/E000148", true}}};
  FakeWorld world;
  world.daemon.answers("GET /v1/projects/demo/branches/main/wal", api::to_json(wal));
  EXPECT_EQ(0, world.run({"wal", "info", "demo/main"}));
  EXPECT_EQ(
      "Branch       demo/main\n"
      "Archiving    yes\n"
      "Segments     12, 192 MiB of at most 4 GiB\n"
      "Oldest       000000010000000000000003\n"
      "Newest       00000001000000000000000E\n"
      "Gaps         000000010000000000000007 to 000000010000000000000008: missing\n"
      "Recoverable  2026-03-01T10:00:00Z (2h ago) to 2026-03-01T11:00:00Z, 0/3000060 to 0/7000000\n"
      "             2026-03-01T11:30:01Z (29m 59s ago) to now, 0/9000060 to 0/E000148\n",
      world.console.data);
}

TEST(WalVerify, EndsWithAStatusOfItsOwnWhenSomethingIsWrong) {
  FakeWorld world;
  world.daemon.answers("POST /v1/wal/verify", R"({"segments":3,"problems":[],"windows":[]})");
  EXPECT_EQ(0, world.run({"wal", "verify"}));
  EXPECT_EQ("{}", world.daemon.requests.back().body);
  EXPECT_EQ("Checked 3 segments: all are whole\n", world.console.words);
  world.daemon.answers("POST /v1/wal/verify",
                       R"({"segments":3,"problems":[{"branch":"demo/main","segment":"000000010000000000000007",)"
                       R"("problem":"truncated"}],"windows":[]})");
  EXPECT_EQ(8, world.run({"wal", "verify", "demo/main"}));
  EXPECT_EQ(R"({"branch":"demo/main"})", world.daemon.requests.back().body);
  EXPECT_EQ(
      "BRANCH     SEGMENT                   PROBLEM\n"
      "demo/main  000000010000000000000007  truncated\n",
      world.console.data);
  EXPECT_EQ(8, world.run({"wal", "verify", "--json"}));
}

TEST(WalCleanup, SaysWhatItKeptAndWhy) {
  FakeWorld world;
  world.daemon.answers("POST /v1/wal/cleanup",
                       R"({"removed_segments":2,"removed_bytes":33554432,"kept_segments":12,"kept_because":)"
                       R"(["demo/main: 12 segments, its window of 7d needs them"],"is_dry_run":true})");
  EXPECT_EQ(0, world.run({"wal", "cleanup", "demo/main", "--days", "14", "--dry-run"}));
  EXPECT_EQ(R"({"branch":"demo/main","days":14,"dry_run":true})", world.daemon.requests.back().body);
  EXPECT_EQ(
      "Would remove  2 segments, 32 MiB\n"
      "Kept          12 segments\n"
      "Because       demo/main: 12 segments, its window of 7d needs them\n",
      world.console.data);
}

TEST(Status, ShowsSnapshots) {
  FakeWorld world;
  world.daemon.answers("GET /v1/snapshots", snapshots_json({snapshot_view("demo/main", "v1")}));
  EXPECT_EQ(0, world.run({"status", "snapshots"}));
  EXPECT_THAT(world.console.data, HasSubstr("demo/main@v1"));
}

TEST(OperationCancel, AsksTheDaemon) {
  FakeWorld world;
  world.daemon.answers("DELETE /v1/operations/3f2a9c", "{}");
  EXPECT_EQ(0, world.run({"job", "cancel", "3f2a9c"}));
  EXPECT_THAT(world.console.words, HasSubstr("3f2a9c is asked to stop"));
}

class Interrupted : public testing::Test {
 protected:
  static constexpr const char* restore = "POST /v1/projects/demo/branches/main/restore";
  static constexpr const char* cancel = "DELETE /v1/operations/3f2a9c";
  Interrupted() {
    world.daemon.answers(restore, branch_json("demo/main"));
    world.daemon.answers(cancel, "{}");
    engine::Event event;
    event.type = "step.begun";
    event.operation = "3f2a9c";
    event.text = "Replay WAL";
    world.daemon.events = {event};
  }
  int run(const Words& more = {}) {
    Words words{"branch", "restore", "demo/main", "--at", "10m"};
    words.insert(words.end(), more.begin(), more.end());
    return world.run(words);
  }
  FakeWorld world;
};

TEST_F(Interrupted, AChangeIsCancelledAndItsEndWaitedFor) {
  world.daemon.fails(restore, Error(ErrorCode::cancelled, "branch restore was cancelled", "nothing was changed"));
  world.daemon.after_event = [&](const engine::Event&) { EXPECT_TRUE(world.interrupt(1)); };
  EXPECT_EQ(2, run());
  EXPECT_THAT(world.asked(), ElementsAre(restore, cancel));
  EXPECT_EQ(
      "Cancelling; Ctrl-C again leaves it to itself\n"
      "error: branch restore was cancelled\nhint: nothing was changed\n",
      world.console.words);
}

TEST_F(Interrupted, BeforeItHasANumberItIsCancelledAsSoonAsItHasOne) {
  engine::Event first;
  first.type = "notice";
  world.daemon.events.insert(world.daemon.events.begin(), first);
  world.daemon.after_event = [&](const engine::Event& event) {
    if (event.operation.empty()) {
      EXPECT_TRUE(world.interrupt(1));
    }
  };
  EXPECT_EQ(0, run());
  EXPECT_THAT(world.asked(), ElementsAre(restore, cancel));
  EXPECT_THAT(world.console.words, HasSubstr("Cancelling as soon as it has begun"));
}

TEST_F(Interrupted, TwiceItIsLeft) {
  world.daemon.after_event = [&](const engine::Event&) {
    EXPECT_TRUE(world.interrupt(1));
    EXPECT_FALSE(world.interrupt(2));
  };
  EXPECT_EQ(0, run());
  EXPECT_THAT(world.console.words, HasSubstr("Left: it ends by itself; see `pgtwig operation get 3f2a9c`\n"));
}

TEST_F(Interrupted, TooLateItSaysSoAndEndsWell) {
  world.daemon.refuses(cancel, Error(ErrorCode::conflict, "it has done its work already"));
  world.daemon.after_event = [&](const engine::Event&) { EXPECT_TRUE(world.interrupt(1)); };
  EXPECT_EQ(0, run());
  EXPECT_THAT(world.console.words, HasSubstr("It is not cancelled: it has done its work already\n"));
}

TEST_F(Interrupted, WithDataForAProgramItSaysNothing) {
  world.daemon.after_event = [&](const engine::Event&) { EXPECT_TRUE(world.interrupt(1)); };
  EXPECT_EQ(0, run({"--json"}));
  EXPECT_EQ("", world.console.words);
  EXPECT_THAT(world.asked(), ElementsAre(restore, cancel));
}

}  // namespace
}  // namespace pgtwig::cli::test
