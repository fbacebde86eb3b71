// The JSON of the views: what is written is read back, and what is not ours is refused.
#include "api/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgtwig::api {
namespace {

using testing::HasSubstr;
using testing::Not;

TimePoint moment(int seconds) {
  return TimePoint(std::chrono::seconds(1'700'000'000 + seconds) + std::chrono::microseconds(5));
}

engine::BranchView make_branch() {
  engine::BranchView branch;
  branch.name = "demo/feature/x";
  branch.project = "demo";
  branch.branch = "feature/x";
  branch.parent = "demo/main";
  branch.state = "running";
  branch.host = "127.0.0.1";
  branch.port = 6002;
  branch.url = "postgresql://postgres:***@127.0.0.1:6002/postgres";
  branch.pid = 4711;
  branch.pool = "default";
  branch.driver = "btrfs";
  branch.method = "snapshot";
  branch.runtime = "native";
  branch.pg_version = 15;
  branch.durability = "full";
  branch.created_at = moment(1);
  branch.started_at = moment(2);
  branch.expires_at = moment(3);
  branch.size = engine::SizeView{Bytes{30'000'000'000}, Bytes{1}, Bytes{29'999'999'999}, moment(4)};
  branch.origin = engine::OriginView{"demo/main", "before", "0/16B3748", moment(5)};
  branch.settings = {{"work_mem", "64MB"}, {"search_path", "\"ü\", b"}};
  branch.held_back = {"cron.schedule"};
  branch.windows = {{moment(1), moment(2), "0/3000060", "0/3000100", false},
                    {moment(3), moment(4), "0/5000060", "0/6000000", true}};
  branch.lineage = {{"demo/feature/x", "restore", "demo/feature/x@before", moment(3)},
                    {"demo/main", "create", std::nullopt, moment(0)}};
  branch.warnings = {"1 unlogged table"};
  branch.steps = {{"Checkpoint", 4}, {"Clone volume (btrfs)", 6}};
  branch.total_ms = 74;
  return branch;
}

TEST(Json, OfABranchIsReadBackWhole) {
  engine::BranchView branch = make_branch();
  std::string json = to_json(branch);
  auto read = from_json<engine::BranchView>(json);
  EXPECT_EQ(to_json(read), json);
  EXPECT_EQ(read.name, branch.name);
  EXPECT_EQ(read.pid, 4711);
  EXPECT_EQ(read.size->logical_bytes, Bytes{30'000'000'000});
  EXPECT_EQ(read.origin->time, moment(5));
  EXPECT_EQ(read.settings, branch.settings);
  EXPECT_EQ(read.steps.at(1).ms, 6);
  EXPECT_EQ(read.expires_at, branch.expires_at);
}

TEST(Json, NamesTheFieldsAsDocumented) {
  std::string json = to_json(make_branch());
  EXPECT_THAT(json, HasSubstr(R"("size":{"logical_bytes":30000000000,"unique_bytes":1,"shared_bytes":29999999999,)"
                              R"("measured_at":"2023-11-14T22:13:24.000005Z"})"));
  EXPECT_THAT(json, HasSubstr(R"("origin":{"branch":"demo/main","snapshot":"before","lsn":"0/16B3748","time":)"));
  EXPECT_THAT(json, HasSubstr(R"("steps":[{"name":"Checkpoint","ms":4},)"));
}

TEST(Json, SaysNullForWhatIsNotThere) {
  std::string json = to_json(engine::BranchView{});
  for (const char* name : {"parent", "pid", "started_at", "expires_at", "size", "origin", "total_ms"}) {
    EXPECT_THAT(json, HasSubstr("\"" + std::string(name) + "\":null"));
  }
  auto read = from_json<engine::BranchView>(json);
  EXPECT_FALSE(read.parent);
  EXPECT_FALSE(read.size);
}

TEST(Json, OfEveryOtherViewIsReadBackWhole) {
  engine::ProjectView project;
  project.name = "demo";
  project.main = make_branch();
  project.steps = {{"Make cluster", 500}};
  EXPECT_EQ(to_json(from_json<engine::ProjectView>(to_json(project))), to_json(project));
  engine::PoolView pool;
  pool.name = "default";
  pool.image = "/x.img";
  pool.total_bytes = Bytes{~0ull};
  pool.foreign = {"by-hand"};
  pool.is_default = true;
  EXPECT_EQ(to_json(from_json<engine::PoolView>(to_json(pool))), to_json(pool));
  engine::OperationView operation;
  operation.id = "abc";
  operation.error = "full";
  operation.finished_at = moment(1);
  EXPECT_EQ(to_json(from_json<engine::OperationView>(to_json(operation))), to_json(operation));
  engine::CredentialsView credentials{"postgresql://postgres:s@h:1/d", "postgresql://e", "s", "postgres", "h", 1, "d"};
  EXPECT_EQ(to_json(from_json<engine::CredentialsView>(to_json(credentials))), to_json(credentials));
  engine::StatusView status;
  status.pid = 1;
  status.pools = {pool};
  status.branches = {make_branch(), make_branch()};
  status.endpoint.emplace().host = "127.0.0.1";
  status.endpoint->sessions = {{"demo/dev", 2}};
  EXPECT_EQ(to_json(from_json<engine::StatusView>(to_json(status))), to_json(status));
  engine::Event event{"step.done", "abc", "branch create", "demo/dev", "Checkpoint", 4, moment(1)};
  EXPECT_EQ(to_json(from_json<engine::Event>(to_json(event))), to_json(event));
}

TEST(Json, OfSnapshotsAndTheWalArchiveIsReadBackWhole) {
  auto expect_same = [](const auto& view) {
    using View = std::remove_cvref_t<decltype(view)>;
    EXPECT_EQ(to_json(from_json<View>(to_json(view))), to_json(view));
  };
  engine::SnapshotView snapshot;
  snapshot.id = "0123";
  snapshot.name = "demo/main@v1";
  snapshot.branches = {"demo/dev"};
  snapshot.created_at = moment(1);
  snapshot.steps = {{"Clone volume (btrfs)", 6}};
  snapshot.total_ms = 12;
  expect_same(snapshot);
  expect_same(std::vector{snapshot, engine::SnapshotView{}});
  expect_same(SnapshotCleanupView{{"demo/main@a"}, {"demo/main@v1: it has branches"}, true});
  expect_same(engine::ScheduleView{"demo/main", "1h", "24h", true, moment(1), std::nullopt});
  expect_same(engine::WalView{.branch = "demo/main",
                              .is_archiving = true,
                              .why_not = "",
                              .segments = 3,
                              .bytes = Bytes{48u << 20},
                              .limit = Bytes{1ull << 32},
                              .oldest = "000000010000000000000003",
                              .newest = std::nullopt,
                              .gaps = {{"a", "b", "missing"}},
                              .windows = make_branch().windows});
  expect_same(engine::WalVerifyView{3, {{"demo/main", "000000010000000000000003", "truncated"}}, {}});
  expect_same(engine::WalCleanupView{2, Bytes{32u << 20}, 12, {"demo/main: 12 segments"}, true});
  expect_same(std::vector{engine::LogEntryView{moment(1), "snapshot", "0123", "snapshot v1", "0/3000060"}});
}

TEST(Json, NamesTheFieldsOfWindowsAsDocumented) {
  EXPECT_THAT(to_json(make_branch()),
              HasSubstr(R"("windows":[{"from":"2023-11-14T22:13:21.000005Z","to":"2023-11-14T22:13:22.000005Z",)"
                        R"("from_lsn":"0/3000060","to_lsn":"0/3000100","is_open":false},)"));
}

TEST(Json, OfAListIsAnObjectWithItsPlural) {
  std::vector<engine::BranchView> branches{make_branch(), engine::BranchView{}};
  std::string json = to_json(branches);
  EXPECT_THAT(json, testing::StartsWith(R"({"branches":[{)"));
  EXPECT_EQ(from_json<std::vector<engine::BranchView>>(json).size(), 2u);
  EXPECT_EQ(to_json(std::vector<engine::PoolView>{}), R"({"pools":[]})");
}

TEST(Json, SkipsFieldsOfANewerDaemonAndDoesWithoutThoseOfAnOlderOne) {
  auto branch = from_json<engine::BranchView>(R"({"name":"a/b","moon_phase":{"x":[1,2]}})");
  EXPECT_EQ(branch.name, "a/b");
  EXPECT_EQ(branch.port, 0);
}

TEST(Json, RefusesWhatIsNotAView) {
  for (const char* text :
       {"", "nonsense", "[]", R"({"name":1})", R"({"port":70000})", R"({"created_at":"yesterday"})"}) {
    try {
      from_json<engine::BranchView>(text);
      FAIL() << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::internal) << text;
    }
  }
}

TEST(Json, CarriesAnErrorWithItsCodeMessageAndHint) {
  Error error(ErrorCode::conflict, "demo/main is \"protected\"", "rename it");
  std::string json = to_json(error);
  EXPECT_EQ(json, R"({"error":{"code":"conflict","message":"demo/main is \"protected\"","hint":"rename it"}})");
  Error read = error_from_json(json);
  EXPECT_EQ(read.code(), ErrorCode::conflict);
  EXPECT_EQ(read.message(), error.message());
  EXPECT_EQ(read.hint(), "rename it");
}

TEST(Json, HoldsWhateverBytesAServerSays) {
  engine::BranchView branch = make_branch();
  branch.held_back = {"caf\xe9"};
  branch.settings["application_name"] = "\xff";
  const auto read = from_json<engine::BranchView>(to_json(branch));
  EXPECT_EQ(read.held_back, std::vector<std::string>{"caf\\xe9"});
  EXPECT_EQ(read.settings.at("application_name"), "\\xff");
  const Error error = error_from_json(to_json(Error(ErrorCode::conflict, "caf\xe9", "\xe9")));
  EXPECT_EQ(error.message(), "caf\\xe9");
  EXPECT_EQ(error.hint(), "\\xe9");
}

TEST(Json, TellsTheLinesOfAStreamApart) {
  engine::Event event{"step.done", "abc", "branch create", "demo/dev", "Checkpoint", 4, moment(1)};
  StreamLine line = parse_stream_line(event_line(event));
  EXPECT_EQ(line.kind, LineKind::event);
  EXPECT_EQ(from_json<engine::Event>(line.json).text, "Checkpoint");
  line = parse_stream_line(result_line("{\"deleted\":[]}"));
  EXPECT_EQ(line.kind, LineKind::result);
  EXPECT_EQ(line.json, "{\"deleted\":[]}");
  line = parse_stream_line(to_json(Error(ErrorCode::busy, "later")));
  EXPECT_EQ(line.kind, LineKind::error);
  EXPECT_EQ(error_from_json(line.json).code(), ErrorCode::busy);
  EXPECT_THROW(parse_stream_line("{\"surprise\":1}"), Error);
}

}  // namespace
}  // namespace pgtwig::api
