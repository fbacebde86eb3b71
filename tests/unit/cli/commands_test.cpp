// What the commands ask of the daemon and what they print of its answers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <fstream>

#include "api/json.h"
#include "base/fs.h"
#include "cli/commands/branch.h"
#include "tests/unit/cli/fake_world.h"

namespace pgtwig::cli::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* branches_of_demo = "POST /v1/projects/demo/branches";

std::string finished_branch(const std::string& name) {
  auto view = branch_view(name);
  view.steps = {{"Clone volume (btrfs)", 6}};
  view.total_ms = 74;
  return api::to_json(view);
}

engine::Event event(const std::string& type, const std::string& text, std::int64_t ms = 0) {
  engine::Event one;
  one.type = type;
  one.text = text;
  one.ms = ms;
  return one;
}

TEST(BranchCreate, SendsWhatWasAskedFor) {
  FakeWorld world;
  world.daemon.answers(branches_of_demo, finished_branch("demo/feature/x"));
  EXPECT_EQ(0, world.run({"branch", "create", "demo/feature/x", "--from", "dev@10m", "--port", "6100", "--durability",
                          "none", "--ttl", "2h", "--no-start", "--if-not-exists", "--fast", "--set", "work_mem=64MB"}));
  ASSERT_EQ(1u, world.daemon.requests.size());
  EXPECT_EQ(R"({"name":"feature/x","from":"dev@10m","consistency":"fast","port":6100,"durability":"none","ttl":"2h",)"
            R"("start":false,"if_not_exists":true,"settings":{"work_mem":"64MB"}})",
            world.daemon.requests[0].body);
}

TEST(BranchCreate, SendsNothingThatWasNotAskedFor) {
  FakeWorld world;
  world.daemon.answers(branches_of_demo, finished_branch("demo/dev"));
  EXPECT_EQ(0, world.run({"branch", "create", "demo/dev"}));
  EXPECT_EQ(R"({"name":"dev"})", world.daemon.requests[0].body);
}

TEST(BranchCreate, SaysItsStepsInWordsAndItsAddressAsData) {
  FakeWorld world;
  world.daemon.answers(branches_of_demo, finished_branch("demo/dev"));
  world.daemon.events = {event("step.begun", "Clone volume (btrfs)"), event("step.done", "Clone volume (btrfs)", 6)};
  EXPECT_EQ(0, world.run({"branch", "create", "demo/dev"}));
  EXPECT_EQ("Creating demo/dev from demo/main\n  ▸ Clone volume (btrfs)          6 ms\nReady in 74 ms\n",
            world.console.words);
  EXPECT_EQ("postgresql://postgres:***@127.0.0.1:6002/postgres\n", world.console.data);
}

TEST(BranchCreate, EndsInOneLineOnATerminal) {
  FakeWorld world;
  world.console.data_view.is_terminal = world.console.words_view.is_terminal = true;
  world.daemon.answers(branches_of_demo, finished_branch("demo/dev"));
  EXPECT_EQ(0, world.run({"branch", "create", "demo/dev"}));
  EXPECT_EQ("Ready in 74 ms:  ", world.console.words);
}

TEST(BranchCreate, GivesProgramsNothingButData) {
  FakeWorld world;
  world.daemon.answers(branches_of_demo, finished_branch("demo/dev"));
  world.daemon.events = {event("step.begun", "Clone"), event("step.done", "Clone", 6)};
  EXPECT_EQ(0, world.run({"branch", "create", "demo/dev", "--json"}));
  EXPECT_EQ("", world.console.words);
  EXPECT_EQ(finished_branch("demo/dev") + "\n", world.console.data);
}

TEST(BranchCreate, PrintsTheRealConnectionStringWhenAsked) {
  FakeWorld world;
  world.daemon.answers(branches_of_demo, finished_branch("demo/dev"));
  world.daemon.answers("GET /v1/projects/demo/branches/dev/credentials", credentials_json());
  EXPECT_EQ(0, world.run({"branch", "create", "demo/dev", "-o", "dsn"}));
  EXPECT_EQ("postgresql://postgres:s3cret@127.0.0.1:6002/postgres\n", world.console.data);
}

TEST(BranchCreate, ShowsWarningsOnce) {
  FakeWorld world;
  auto view = branch_view("demo/dev");
  view.warnings = {"unlogged tables are empty", "method is copy"};
  view.total_ms = 1;
  world.daemon.answers(branches_of_demo, api::to_json(view));
  world.daemon.events = {event("notice", "method is copy")};
  EXPECT_EQ(0, world.run({"branch", "create", "demo/dev"}));
  EXPECT_EQ(
      "Creating demo/dev from demo/main\n  note: method is copy\nwarning: unlogged tables are empty\nReady in 1 ms\n",
      world.console.words);
}

TEST(BranchCreate, RefusesWhatContradictsItselfBeforeAsking) {
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"branch", "create", "demo/x", "--fast", "--consistency", "backup"},
        {"branch", "create", "demo/x", "--from", "dev@10m", "--at", "5m"},
        {"branch", "create", "demo/x", "--from", "demo/dev@"},
        {"branch", "create", "demo/x@10m"},
        {"branch", "create", "demo/a..b"},
        {"branch", "create", "Demo/x"}}) {
    FakeWorld world;
    EXPECT_EQ(1, world.run(words)) << words.back();
    EXPECT_THAT(world.console.words, HasSubstr("\nhint: "));
    EXPECT_THAT(world.asked(), IsEmpty());
  }
}

TEST(BranchReset, AsksForTheParentByDefault) {
  FakeWorld world;
  world.daemon.answers("POST /v1/projects/demo/branches/dev/reset", finished_branch("demo/dev"));
  EXPECT_EQ(0, world.run({"branch", "sync", "demo/dev"}));
  EXPECT_EQ("{}", world.daemon.requests[0].body);
  EXPECT_EQ(0, world.run({"branch", "reset", "demo/dev", "--from", "^parent", "--at", "1 hour ago"}));
  EXPECT_EQ(R"({"from":"^parent","at":"1 hour ago"})", world.daemon.requests[1].body);
}

TEST(BranchDelete, SaysWhatIsGone) {
  FakeWorld world;
  world.daemon.answers("DELETE /v1/projects/demo/branches/dev?cascade=true&if_exists=false",
                       R"({"deleted":["demo/dev/x","demo/dev"]})");
  EXPECT_EQ(0, world.run({"branch", "rm", "demo/dev", "--force"}));
  EXPECT_EQ("Deleted demo/dev/x, demo/dev\n", world.console.words);
  EXPECT_EQ("", world.console.data);
}

TEST(BranchDelete, OfNothingIsFineWithIfExists) {
  FakeWorld world;
  world.daemon.answers("DELETE /v1/projects/demo/branches/dev?cascade=false&if_exists=true", R"({"deleted":[]})");
  EXPECT_EQ(0, world.run({"branch", "rm", "demo/dev", "--if-exists"}));
  EXPECT_EQ("There is no demo/dev: nothing to delete\n", world.console.words);
}

TEST(BranchRename, TakesTheNewNameWithItsProjectOrWithout) {
  FakeWorld world;
  world.daemon.answers("GET /v1/projects", projects_json({"demo"}));
  world.daemon.answers("PATCH /v1/projects/demo/branches/dev", branch_json("demo/x"));
  for (const char* name : {"feature/x", "demo/feature/x"}) {
    EXPECT_EQ(0, world.run({"branch", "rename", "demo/dev", name}));
    EXPECT_EQ(R"({"name":"feature/x"})", world.daemon.requests.back().body);
  }
}

TEST(BranchRename, MovesNoBranchToAnotherProject) {
  FakeWorld world;
  world.daemon.answers("GET /v1/projects", projects_json({"demo", "shop"}));
  world.daemon.answers("PATCH /v1/projects/demo/branches/dev", branch_json("demo/shop/dev"));
  EXPECT_EQ(1, world.run({"branch", "rename", "demo/dev", "shop/dev"}));
  EXPECT_THAT(world.console.words, HasSubstr("demo/shop/dev"));
  EXPECT_THAT(world.asked(), ElementsAre("GET /v1/projects"));
  // Written with its own project it is the name of a branch in it.
  EXPECT_EQ(0, world.run({"branch", "rename", "demo/dev", "demo/shop/dev"}));
  EXPECT_EQ(0, world.run({"branch", "rename", "dev", "shop/dev", "--project", "demo"}));
  EXPECT_EQ(R"({"name":"shop/dev"})", world.daemon.requests.back().body);
}

TEST(Questions, AreAskedOnATerminalAndCanBeAnsweredNo) {
  const std::string line = "DELETE /v1/projects/demo?force=false&if_exists=false";
  for (const char* answer : {"n", "", "nothing"}) {
    FakeWorld world;
    world.console.has_person = true;
    world.console.answers = {answer};
    world.daemon.answers(line, "{}");
    EXPECT_EQ(1, world.run({"project", "delete", "demo"}));
    EXPECT_THAT(world.console.words, HasSubstr("[y/N]"));
    EXPECT_THAT(world.asked(), IsEmpty());
  }
  FakeWorld agreeing;
  agreeing.console.has_person = true;
  agreeing.console.answers = {"y"};
  agreeing.daemon.answers(line, "{}");
  EXPECT_EQ(0, agreeing.run({"project", "delete", "demo"}));
  EXPECT_THAT(agreeing.asked(), ElementsAre(line));
}

TEST(Questions, AreNotAskedWithYesOrWithoutATerminal) {
  const std::string line = "DELETE /v1/projects/demo?force=false&if_exists=false";
  for (bool has_person : {true, false}) {
    FakeWorld world;
    world.console.has_person = has_person;
    world.daemon.answers(line, "{}");
    std::vector<std::string> words{"project", "delete", "demo"};
    if (has_person) words.emplace_back("-y");
    EXPECT_EQ(0, world.run(words));
    EXPECT_THAT(world.console.words, Not(HasSubstr("[y/N]")));
  }
}

TEST(BranchList, IsOfTheChosenProjectOrOfAll) {
  FakeWorld world;
  world.daemon.answers("GET /v1/branches", R"({"branches":[]})");
  world.daemon.answers("GET /v1/branches?project=demo", R"({"branches":[]})");
  world.world.environment["PGTWIG_PROJECT"] = "demo";
  EXPECT_EQ(0, world.run({"branch", "list"}));
  EXPECT_EQ(0, world.run({"branch", "list", "--all"}));
  EXPECT_THAT(world.asked(), ElementsAre("GET /v1/branches?project=demo", "GET /v1/branches"));
}

TEST(BranchList, HasEveryFormat) {
  const std::string json = "{\"branches\":[" + branch_json("demo/main") + "," + branch_json("demo/dev") + "]}";
  auto output = [&](const std::vector<std::string>& options) {
    FakeWorld world;
    world.daemon.answers("GET /v1/branches", json);
    for (const char* name : {"main", "dev"})
      world.daemon.answers(std::string("GET /v1/projects/demo/branches/") + name + "/credentials", credentials_json());
    std::vector<std::string> words{"branch", "list"};
    words.insert(words.end(), options.begin(), options.end());
    EXPECT_EQ(0, world.run(words)) << world.console.words;
    return world.console.data;
  };
  EXPECT_EQ("demo/main\ndemo/dev\n", output({"-o", "name"}));
  EXPECT_EQ(json + "\n", output({"--json"}));
  EXPECT_EQ(json + "\n", output({"-f", "json"}));
  EXPECT_TRUE(output({"-f", "table"}).starts_with("NAME"));
  EXPECT_TRUE(output({"-o", "yaml"}).starts_with("branches:\n- name: demo/main\n"));
  EXPECT_EQ(
      "postgresql://postgres:s3cret@127.0.0.1:6002/postgres\npostgresql://postgres:s3cret@127.0.0.1:6002/postgres\n",
      output({"-o", "dsn"}));
}

TEST(ProjectList, OfNoneSaysSoToAPersonOnly) {
  FakeWorld world;
  world.daemon.answers("GET /v1/projects", projects_json({}));
  EXPECT_EQ(0, world.run({"project", "list"}));
  EXPECT_EQ("", world.console.words);
  world.console.words_view.is_terminal = true;
  EXPECT_EQ(0, world.run({"project", "list"}));
  EXPECT_EQ("There are no projects yet.\n", world.console.words);
}

TEST(Errors, KeepTheirExitStatusAndTheirForm) {
  const std::vector<std::pair<ErrorCode, int>> codes{{ErrorCode::invalid_argument, 1}, {ErrorCode::storage_failed, 2},
                                                     {ErrorCode::not_found, 3},        {ErrorCode::already_exists, 4},
                                                     {ErrorCode::conflict, 5},         {ErrorCode::timed_out, 6},
                                                     {ErrorCode::not_allowed, 9}};
  for (auto [code, status] : codes) {
    FakeWorld world;
    world.daemon.refuses("GET /v1/projects/demo/branches/dev", Error(code, "it failed", "do this"));
    EXPECT_EQ(status, world.run({"branch", "get", "demo/dev"}));
    EXPECT_EQ("error: it failed\nhint: do this\n", world.console.words);
    FakeWorld json;
    json.daemon.refuses("GET /v1/projects/demo/branches/dev", Error(code, "it failed", "do this"));
    EXPECT_EQ(status, json.run({"branch", "get", "demo/dev", "--json"}));
    EXPECT_EQ("", json.console.words);
    EXPECT_THAT(json.console.data, HasSubstr(R"("message":"it failed","hint":"do this")"));
  }
}

TEST(Errors, AreJsonEvenWhenTheWordsAreWrong) {
  for (const std::vector<std::string>& words : {std::vector<std::string>{"brunch", "--json"},
                                                {"branch", "get", "-o", "json", "--prot"},
                                                {"branch", "list", "-f", "json", "x", "y"}}) {
    FakeWorld world;
    EXPECT_EQ(1, world.run(words));
    EXPECT_THAT(world.console.data, HasSubstr(R"({"error":{"code":"invalid_argument")"));
    EXPECT_EQ("", world.console.words);
  }
}

TEST(ClosedPipe, IsNoErrorAndSaysNothing) {
  FakeWorld world;
  world.console.is_closed = true;
  world.daemon.answers("GET /v1/branches", R"({"branches":[]})");
  EXPECT_EQ(0, world.run({"branch", "list"}));
  EXPECT_EQ("", world.console.words);
}

TEST(ClosedPipe, DoesNotHideAFailure) {
  FakeWorld world;
  world.console.is_closed = true;
  EXPECT_EQ(3, world.run({"branch", "get", "demo/dev", "--json"}));
}

TEST(FullOutput, IsSaidInWordsAlsoWhereJsonIsAskedFor) {
  FakeWorld world;
  world.console.is_full = true;
  world.daemon.answers("GET /v1/branches", R"({"branches":[]})");
  EXPECT_EQ(2, world.run({"branch", "list", "--json"}));
  EXPECT_EQ("error: cannot write to standard output\nhint: free some space\n", world.console.words);
}

TEST(FullOutput, DoesNotHideAnotherFailure) {
  FakeWorld world;
  world.console.is_full = true;
  EXPECT_EQ(1, world.run({"brunch", "--json"}));
  EXPECT_THAT(world.console.words, HasSubstr("'brunch' is not a command"));
}

TEST(ProjectCreate, SendsADumpThatItOpenedItself) {
  FakeWorld world;
  world.daemon.answers("POST /v1/projects", project_json("demo"));
  world.daemon.answers("GET /v1/projects/demo/branches/main", finished_branch("demo/main"));
  auto file = world.folder / "demo.dump";
  write_file(file, "PGDMP");
  EXPECT_EQ(0, world.run({"project", "create", "demo", "--from-dump", file.string(), "--pg-version", "15", "--set",
                          "work_mem=1MB"}));
  EXPECT_EQ("PGDMP", world.daemon.requests[0].uploaded);
  EXPECT_EQ(R"({"name":"demo","pg_version":15,"settings":{"work_mem":"1MB"}})", world.daemon.requests[0].body);
}

TEST(ProjectCreate, RefusesAMissingDumpAndAFolder) {
  FakeWorld world;
  EXPECT_EQ(3, world.run({"project", "create", "demo", "--from-dump", (world.folder / "nothing").string()}));
  EXPECT_EQ(1, world.run({"project", "create", "demo", "--from-dump", world.folder.string()}));
  EXPECT_THAT(world.asked(), IsEmpty());
}

TEST(ProjectCreate, SaysThatAFileCannotBeReadWithoutAskingTheDaemon) {
  for (const char* option : {"--from-dump", "--conf-file"}) {
    FakeWorld world;
    write_file(world.folder / "file", "");
    EXPECT_EQ(1, world.run({"project", "create", "demo", option, (world.folder / "file/below").string()}));
    EXPECT_THAT(world.console.words, HasSubstr("file/below"));
    EXPECT_THAT(world.console.words, Not(HasSubstr("log")));
    EXPECT_THAT(world.asked(), IsEmpty());
  }
}

TEST(ProjectDelete, SaysWhatIsGone) {
  FakeWorld world;
  world.daemon.answers("DELETE /v1/projects/demo?force=false&if_exists=true", R"({"deleted":["demo"]})");
  EXPECT_EQ(0, world.run({"project", "rm", "demo", "--if-exists"}));
  EXPECT_EQ("Deleted demo\n", world.console.words);
}

TEST(ProjectDelete, OfNothingIsFineWithIfExists) {
  const std::string line = "DELETE /v1/projects/demo?force=false&if_exists=true";
  FakeWorld world;
  world.daemon.answers(line, R"({"deleted":[]})");
  EXPECT_EQ(0, world.run({"project", "rm", "demo", "--if-exists"}));
  EXPECT_EQ("There is no project demo: nothing to delete\n", world.console.words);
  FakeWorld names;
  names.daemon.answers(line, R"({"deleted":[]})");
  EXPECT_EQ(0, names.run({"project", "rm", "demo", "--if-exists", "-o", "name"}));
  EXPECT_EQ("", names.console.data);
}

TEST(ProjectCreate, LeavesAnExistingOneAsItIsWhenAskedTo) {
  FakeWorld world;
  world.daemon.refuses("POST /v1/projects", Error(ErrorCode::already_exists, "project demo exists", "choose another"));
  world.daemon.answers("GET /v1/projects/demo", project_json("demo"));
  EXPECT_EQ(4, world.run({"project", "create", "demo", "-o", "name"}));
  EXPECT_EQ(0, world.run({"project", "create", "demo", "--if-not-exists", "-o", "name"}));
  EXPECT_EQ("demo\n", world.console.data);
}

class Connecting : public testing::Test {
 protected:
  Connecting() {
    world.daemon.answers("GET /v1/projects/demo/branches/dev", branch_json("demo/dev"));
    world.daemon.answers("GET /v1/projects/demo/branches/dev/credentials", credentials_json());
    world.daemon.answers("POST /v1/projects/demo/branches/dev/start", branch_json("demo/dev"));
  }
  FakeWorld world;
};

TEST_F(Connecting, PsqlGetsThePasswordByItsEnvironmentOnly) {
  EXPECT_EQ(0, world.run({"psql", "demo/dev", "--", "-c", "SELECT 1"}));
  ASSERT_EQ(1u, world.became.size());
  const auto& image = world.became[0];
  EXPECT_THAT(image.argv[0], testing::EndsWith("psql"));
  EXPECT_THAT(std::vector(image.argv.begin() + 1, image.argv.end()), ElementsAre("-c", "SELECT 1"));
  for (const auto& argument : image.argv) EXPECT_THAT(argument, Not(HasSubstr("s3cret")));
  EXPECT_EQ("s3cret", image.environment.at("PGPASSWORD"));
  EXPECT_EQ("6002", image.environment.at("PGPORT"));
  EXPECT_EQ("127.0.0.1", image.environment.at("PGHOST"));
  EXPECT_THAT(image.removed_variables, testing::IsSupersetOf({"PGHOSTADDR", "PGSERVICE"}));
}

TEST_F(Connecting, RunPassesWordsAndVariablesOn) {
  EXPECT_EQ(0, world.run({"run", "demo/dev", "--", "npm", "test", "--json"}));
  const auto& image = world.became.at(0);
  EXPECT_THAT(image.argv, ElementsAre("npm", "test", "--json"));
  EXPECT_EQ("postgresql://postgres:s3cret@127.0.0.1:6002/postgres", image.environment.at("DATABASE_URL"));
  EXPECT_EQ("demo", image.environment.at("PGTWIG_PROJECT"));
  EXPECT_EQ("dev", image.environment.at("PGTWIG_BRANCH"));
}

TEST_F(Connecting, AStoppedBranchIsStartedFirstAndThatIsSaid) {
  world.daemon.answers("GET /v1/projects/demo/branches/dev", branch_json("demo/dev", "stopped"));
  EXPECT_EQ(0, world.run({"run", "demo/dev", "--", "true"}));
  EXPECT_EQ("demo/dev is stopped: starting it\n", world.console.words);
  EXPECT_THAT(world.asked(),
              ElementsAre("GET /v1/projects/demo/branches/dev", "POST /v1/projects/demo/branches/dev/start",
                          "GET /v1/projects/demo/branches/dev/credentials"));
}

TEST_F(Connecting, EnvWritesAFileThatOnlyItsOwnerReads) {
  auto file = world.folder / ".env";
  EXPECT_EQ(0, world.run({"env", "demo/dev", "-o", file.string()}));
  EXPECT_EQ("", world.console.data);
  EXPECT_THAT(read_file(file), HasSubstr("PGPASSWORD=s3cret\n"));
  EXPECT_EQ(std::filesystem::perms::owner_read | std::filesystem::perms::owner_write,
            std::filesystem::status(file).permissions());
}

TEST_F(Connecting, EnvTakesNoFormatForAFile) {
  for (const char* format : {"json", "yaml", "env"}) {
    EXPECT_EQ(1, world.run({"env", "demo/dev", "-o", format}));
    EXPECT_THAT(world.console.words + world.console.data, HasSubstr(fmt::format("./{}", format)));
  }
  EXPECT_THAT(world.asked(), IsEmpty());
}

TEST_F(Connecting, EnvSaysThatItsFileCannotBeWritten) {
  EXPECT_EQ(1, world.run({"env", "demo/dev", "-o", (world.folder / "nowhere/.env").string()}));
  EXPECT_THAT(world.console.words, HasSubstr("nowhere"));
  EXPECT_THAT(world.console.words, Not(HasSubstr("log")));
}

TEST_F(Connecting, WhatIsForPsqlGoesBehindTwoDashes) {
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"psql", "demo/dev", "-c", "INSERT INTO t VALUES (1)"},
        {"psql", "demo/dev", "-f", "x.sql"},
        {"psql", "demo/dev", "postgres"}}) {
    world.console.words.clear();
    EXPECT_EQ(1, world.run(words));
    EXPECT_THAT(world.console.words,
                HasSubstr("what psql passes on goes behind '--', as in `pgtwig psql demo/dev -- -c"));
  }
  EXPECT_THAT(world.became, IsEmpty());
  EXPECT_THAT(world.asked(), IsEmpty());
}

TEST_F(Connecting, UrlAndPasswordPrintTheRealOnes) {
  EXPECT_EQ(0, world.run({"url", "demo/dev"}));
  EXPECT_EQ(0, world.run({"branch", "pass", "demo/dev"}));
  EXPECT_EQ("postgresql://postgres:s3cret@127.0.0.1:6002/postgres\ns3cret\n", world.console.data);
}

TEST_F(Connecting, RunNeedsACommand) {
  EXPECT_EQ(1, world.run({"run", "demo/dev"}));
  EXPECT_THAT(world.asked(), IsEmpty());
}

TEST(Daemon, StatusNeverStartsOne) {
  FakeWorld world;
  world.daemon.is_running = false;
  EXPECT_EQ(0, world.run({"daemon", "status", "--json"}));
  EXPECT_EQ("{\"state\":\"stopped\"}\n", world.console.data);
  EXPECT_EQ(0, world.start_wishes);
}

TEST(Daemon, StopOfNoneIsFine) {
  FakeWorld world;
  world.daemon.is_running = false;
  EXPECT_EQ(0, world.run({"daemon", "stop"}));
  EXPECT_EQ("The daemon is not running\n", world.console.words);
  EXPECT_EQ(0, world.start_wishes);
}

TEST(Daemon, StopAnswersProgramsInJson) {
  FakeWorld world;
  world.daemon.is_running = false;
  EXPECT_EQ(0, world.run({"daemon", "stop", "--json"}));
  EXPECT_EQ("{\"state\":\"stopped\",\"was_running\":false}\n", world.console.data);
  EXPECT_EQ("", world.console.words);
}

TEST(Daemon, RunHandsOverWithItsOptions) {
  FakeWorld world;
  Composition::DaemonOptions seen;
  world.composition.run_daemon = [&](const Composition::DaemonOptions& options) {
    seen = options;
    return 5;
  };
  EXPECT_EQ(5, world.run({"daemon", "run", "--rebuild-state", "--pool-directory", "/a", "--pool-directory", "/b"}));
  EXPECT_TRUE(seen.rebuild_state);
  EXPECT_THAT(seen.pool_directories, ElementsAre("/a", "/b"));
}

TEST(StateRebuild, PutsADaemonThatRebuildsInThePlaceOfAnother) {
  FakeWorld world;
  world.daemon.is_running = false;
  world.daemon.answers("GET /v1/branches", R"({"branches":[]})");
  world.composition.require_pools = [](const std::vector<std::string>&) {};
  EXPECT_EQ(0, world.run({"state", "rebuild", "--pool-directory", "pool", "-o", "name"}));
  EXPECT_THAT(world.replacements,
              ElementsAre(ElementsAre("--rebuild-state", "--pool-directory", (world.folder / "pool").string())));
}

TEST(StateRebuild, StopsNoDaemonForDirectoriesThatAreNoPools) {
  FakeWorld world;
  std::vector<std::string> seen;
  world.composition.require_pools = [&](const std::vector<std::string>& directories) {
    seen = directories;
    throw Error(ErrorCode::invalid_argument, "that is no pool", "name one");
  };
  EXPECT_EQ(1, world.run({"state", "rebuild", "--pool-directory", "pool"}));
  EXPECT_THAT(seen, ElementsAre((world.folder / "pool").string()));
  EXPECT_THAT(world.replacements, IsEmpty());
}

TEST(StateRebuild, AsksFirstOnATerminal) {
  FakeWorld world;
  world.console.has_person = true;
  world.console.answers = {"n"};
  EXPECT_EQ(1, world.run({"state", "rebuild"}));
  EXPECT_THAT(world.replacements, IsEmpty());
}

TEST(Config, WorksWithoutADaemon) {
  FakeWorld world;
  world.daemon.is_running = false;
  EXPECT_EQ(0, world.run({"config", "set", "ports.first", "7001"}));
  EXPECT_EQ(0, world.run({"config", "get", "ports.first"}));
  EXPECT_EQ(0, world.run({"config", "path"}));
  EXPECT_EQ("7001\n" + (world.folder / "pgtwig.toml").string() + "\n", world.console.data);
  EXPECT_EQ(0, world.start_wishes);
}

// As the hint about a file that isn't there proposes.
TEST(Config, TakesAValueBack) {
  FakeWorld world;
  world.daemon.is_running = false;
  const auto value = [&](const std::string& key) {
    world.console.data.clear();
    EXPECT_EQ(0, world.run({"config", "get", key}));
    return world.console.data;
  };
  EXPECT_EQ(0, world.run({"config", "set", "postgres.conf_file", "/own/postgresql.conf"}));
  EXPECT_EQ(0, world.run({"config", "set", "postgres.conf_file", ""}));
  EXPECT_EQ("\n", value("postgres.conf_file"));
  EXPECT_EQ(1, world.run({"config", "set", "runtime", ""}));
  EXPECT_THAT(world.console.words, HasSubstr("runtime: '' is not one of native"));
  EXPECT_EQ(0, world.run({"config", "set", "wal.limit", "8G"}));
  EXPECT_EQ(0, world.run({"config", "unset", "wal.limit"}));
  EXPECT_EQ("4 GiB\n", value("wal.limit"));
  EXPECT_EQ(0, world.run({"config", "unset", "wal.limit"}));
  EXPECT_THAT(world.console.words, HasSubstr("wal.limit is not set in"));
  EXPECT_EQ(1, world.run({"config", "unset", "wal.limti"}));
}

TEST(Config, NamesNearKeysOfAnUnknownOne) {
  FakeWorld world;
  EXPECT_EQ(1, world.run({"config", "get", "ports.frist"}));
  EXPECT_THAT(world.console.words, HasSubstr("ports.first"));
}

TEST(Config, OfAnotherFileIsRead) {
  FakeWorld world;
  write_file(world.folder / "other.toml", "log_level = \"debug\"\n");
  EXPECT_EQ(0, world.run({"-c", "other.toml", "config", "get", "log_level"}));
  EXPECT_EQ("debug\n", world.console.data);
  // A daemon that is started reads it, too.
  EXPECT_EQ((world.folder / "other.toml").string(), world.variables["PGTWIG_CONFIG"]);
}

TEST(Config, OfAFileThatIsNamedHasToBeThere) {
  for (const std::vector<std::string>& words : {std::vector<std::string>{"branch", "list"}, {"config", "list"}}) {
    FakeWorld world;
    world.daemon.answers("GET /v1/branches", R"({"branches":[]})");
    world.world.environment["PGTWIG_CONFIG"] = (world.folder / "nowhere.toml").string();
    EXPECT_EQ(1, world.run(words));
    EXPECT_THAT(world.console.words, HasSubstr("there is no configuration file " + world.folder.string()));
    EXPECT_THAT(world.asked(), IsEmpty());
  }
}

TEST(Config, OfAFileThatIsNamedIsMadeWhenItIsSet) {
  FakeWorld world;
  EXPECT_EQ(0, world.run({"-c", "new.toml", "config", "path"}));
  EXPECT_EQ(0, world.run({"-c", "new.toml", "config", "set", "ports.first", "7001"}));
  EXPECT_EQ(0, world.run({"-c", "new.toml", "config", "get", "ports.first"}));
  EXPECT_EQ((world.folder / "new.toml").string() + "\n7001\n", world.console.data);
}

TEST(Config, ImportSaysThatItsFileCannotBeRead) {
  FakeWorld world;
  EXPECT_EQ(1, world.run({"config", "import", world.folder.string()}));
  EXPECT_THAT(world.console.words, HasSubstr(world.folder.string()));
  EXPECT_THAT(world.console.words, Not(HasSubstr("log")));
}

TEST(Config, SaysThatItsFileCannotBeWritten) {
  FakeWorld world;
  write_file(world.folder / "file", "");
  EXPECT_EQ(1, world.run({"-c", "file/below.toml", "config", "set", "ports.first", "7001"}));
  EXPECT_THAT(world.console.words, Not(HasSubstr("log")));
}

TEST(Pools, AreADirectoryOrAnImage) {
  FakeWorld world;
  engine::PoolView pool;
  pool.name = "p";
  pool.created_at = fake_now();
  world.daemon.answers("POST /v1/pools", api::to_json(pool));
  EXPECT_EQ(1, world.run({"pool", "create", "p", "--directory", "/x", "--image-size", "1G"}));
  EXPECT_THAT(world.asked(), IsEmpty());
  EXPECT_EQ(1, world.run({"pool", "create", "p", "--directory", "/x", "--image", "/y"}));
  EXPECT_THAT(world.asked(), IsEmpty());
  EXPECT_EQ(0, world.run({"pool", "create", "p", "--image-size", "1G", "--file-system", "xfs", "-o", "name"}));
  EXPECT_EQ(0, world.run({"pool", "create", "p", "--directory", "x", "-o", "name"}));
  EXPECT_EQ(0, world.run({"pool", "create", "p", "--driver", "zfs", "--image", "i", "--size", "1G", "-o", "name"}));
  EXPECT_EQ(0, world.run({"pool", "create", "p", "-o", "name"}));  // whether there is a zpool p, the daemon knows
  EXPECT_EQ(R"({"name":"p","image_size":1073741824,"file_system":"xfs"})", world.daemon.requests[0].body);
  EXPECT_EQ("{\"name\":\"p\",\"directory\":\"" + (world.folder / "x").string() + "\"}", world.daemon.requests[1].body);
  EXPECT_EQ(
      "{\"name\":\"p\",\"image\":\"" + (world.folder / "i").string() + R"(","image_size":1073741824,"driver":"zfs"})",
      world.daemon.requests[2].body);
}

TEST(Logs, AreFollowedWithoutRepeatingALine) {
  EXPECT_EQ(0u, count_seen_lines({}, {"a"}));
  EXPECT_EQ(2u, count_seen_lines({"a", "b"}, {"a", "b", "c"}));
  EXPECT_EQ(1u, count_seen_lines({"a", "b"}, {"b", "c"}));
  EXPECT_EQ(0u, count_seen_lines({"a", "b"}, {"x", "y"}));
  EXPECT_EQ(2u, count_seen_lines({"a", "a"}, {"a", "a"}));
}

TEST(Logs, EndWhenTheReaderGoesAway) {
  FakeWorld world;
  world.daemon.answers("GET /v1/projects/demo/branches/dev/log?lines=1000", R"({"log":"one\ntwo\nthree\n"})");
  world.world.pause = [&](std::chrono::milliseconds) {
    world.daemon.answers("GET /v1/projects/demo/branches/dev/log?lines=1000", R"({"log":"two\nthree\nfour\n"})");
    if (world.console.data.find("four") != std::string::npos) world.console.is_closed = true;
  };
  EXPECT_EQ(0, world.run({"branch", "logs", "demo/dev", "--lines", "2", "--follow"}));
  EXPECT_EQ("two\nthree\nfour\n", world.console.data);
}

TEST(Status, ShowsOnlyThePartThatWasAskedFor) {
  FakeWorld world;
  engine::StatusView status;
  status.version = "0.1.0";
  status.started_at = fake_now();
  status.branches = {branch_view("demo/main")};
  status.branches[0].state = "failed";
  status.postgres_versions = {"15.18"};
  world.daemon.answers("GET /v1/status", api::to_json(status));
  EXPECT_EQ(0, world.run({"status", "health"}));
  EXPECT_EQ("! branch demo/main has failed; see: pgtwig branch logs demo/main\n", world.console.data);
  world.console.data.clear();
  EXPECT_EQ(0, world.run({"status", "branches"}));
  EXPECT_TRUE(world.console.data.starts_with("NAME"));
}

TEST(Status, SaysWhereTheMetricsAreAndWhenTheyAreNot) {
  FakeWorld world;
  engine::StatusView status;
  status.started_at = fake_now();
  status.postgres_versions = {"15.18"};
  status.metrics = engine::MetricsPlaceView{.host = "127.0.0.1", .port = 9543, .problem = {}};
  world.daemon.answers("GET /v1/status", api::to_json(status));
  EXPECT_EQ(0, world.run({"status"}));
  EXPECT_THAT(world.console.data, testing::HasSubstr("Metrics     127.0.0.1 port 9543\n"));
  EXPECT_THAT(world.console.data, testing::Not(testing::HasSubstr("!")));
  status.metrics->problem = "somebody listens there";
  world.daemon.answers("GET /v1/status", api::to_json(status));
  world.console.data.clear();
  EXPECT_EQ(0, world.run({"status", "health"}));
  EXPECT_EQ("! the metrics are not served: somebody listens there\n", world.console.data);
}

TEST(Operations, AreListedWithALimit) {
  FakeWorld world;
  world.daemon.answers("GET /v1/operations?limit=3", R"({"operations":[]})");
  EXPECT_EQ(0, world.run({"op", "ls", "--limit", "3"}));
}

}  // namespace
}  // namespace pgtwig::cli::test
