// Which project and branch the words mean, by flag, environment, file, and what there is.
#include "cli/targets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/fs.h"
#include "tests/unit/cli/fake_world.h"

namespace pgtwig::cli::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class Targets : public testing::Test {
 protected:
  // What `branch get` asked for.
  std::string target_of_get(std::vector<std::string> words) {
    words.insert(words.begin(), {"branch", "get"});
    world.daemon.requests.clear();
    world.console.words.clear();
    world.run(words);
    for (const std::string& line : world.asked())
      if (line.starts_with("GET /v1/projects/")) return line;
    return "";
  }
  void write_place(const std::filesystem::path& folder, const std::string& text) {
    write_file(folder / ".pgtwig", text);
  }
  FakeWorld world;
};

TEST_F(Targets, ANamedProjectGoesBeforeEverything) {
  world.world.environment["PGTWIG_PROJECT"] = "other";
  write_place(world.folder, "third\n");
  EXPECT_EQ("GET /v1/projects/demo/branches/feature%2Fx", target_of_get({"demo/feature/x"}));
}

TEST_F(Targets, TheFlagGoesBeforeTheVariableAndTheVariableBeforeTheFile) {
  write_place(world.folder, "third\n");
  EXPECT_EQ("GET /v1/projects/third/branches/dev", target_of_get({"dev"}));
  world.world.environment["PGTWIG_PROJECT"] = "other";
  EXPECT_EQ("GET /v1/projects/other/branches/dev", target_of_get({"dev"}));
  EXPECT_EQ("GET /v1/projects/demo/branches/dev", target_of_get({"dev", "--project", "demo"}));
}

TEST_F(Targets, WithTheFlagASlashBelongsToTheBranch) {
  EXPECT_EQ("GET /v1/projects/demo/branches/feature%2Fx", target_of_get({"feature/x", "--project", "demo"}));
  EXPECT_EQ("GET /v1/projects/demo/branches/dev", target_of_get({"demo/dev", "--project", "demo"}));
  EXPECT_EQ("GET /v1/projects/demo/branches/Upper%2Fx", target_of_get({"Upper/x", "--project", "demo"}));
}

TEST_F(Targets, TheFileIsFoundUpwardsAndTheNearestCounts) {
  auto deep = world.folder / "a" / "b";
  make_directories(deep);
  write_place(world.folder, "outer/dev\n");
  world.world.working_directory = deep;
  EXPECT_EQ("GET /v1/projects/outer/branches/dev", target_of_get({}));
  write_place(world.folder / "a", "inner\n");
  EXPECT_EQ("GET /v1/projects/inner/branches/x", target_of_get({"x"}));
}

TEST_F(Targets, TheOnlyProjectIsMeantWhereNothingElseSays) {
  world.daemon.answers("GET /v1/projects", projects_json({"demo"}));
  EXPECT_EQ("GET /v1/projects/demo/branches/dev", target_of_get({"dev"}));
}

TEST_F(Targets, SeveralProjectsAreNoChoiceAndNoneIsNotFound) {
  world.daemon.answers("GET /v1/projects", projects_json({"demo", "shop"}));
  EXPECT_EQ(1, world.run({"branch", "get", "dev"}));
  EXPECT_THAT(world.console.words, HasSubstr("there are 2: demo, shop"));
  world.daemon.answers("GET /v1/projects", projects_json({}));
  EXPECT_EQ(3, world.run({"branch", "get", "dev"}));
  EXPECT_THAT(world.console.words, HasSubstr("pgtwig project create"));
}

TEST_F(Targets, ABranchChosenForAnotherProjectDoesNotCount) {
  write_place(world.folder, "demo/dev\n");
  EXPECT_EQ("GET /v1/projects/demo/branches/dev", target_of_get({}));
  EXPECT_EQ("", target_of_get({"--project", "shop"}));
  world.world.environment["PGTWIG_PROJECT"] = "shop";
  EXPECT_EQ("", target_of_get({}));
  world.world.environment["PGTWIG_BRANCH"] = "fix";
  EXPECT_EQ("GET /v1/projects/shop/branches/fix", target_of_get({}));
}

TEST_F(Targets, DestructiveCommandsNeedTheirBranchNamed) {
  write_place(world.folder, "demo/dev\n");
  for (const char* verb : {"delete", "reset", "stop", "rename"}) EXPECT_EQ(1, world.run({"branch", verb}));
  EXPECT_TRUE(world.daemon.requests.empty());
}

TEST_F(Targets, AMalformedFileIsNamed) {
  write_place(world.folder, "Demo!\n");
  EXPECT_EQ(1, world.run({"branch", "get", "dev"}));
  EXPECT_THAT(world.console.words, HasSubstr((world.folder / ".pgtwig").string()));
}

TEST_F(Targets, ASlashThatWasMeantForTheBranchIsExplained) {
  world.world.environment["PGTWIG_PROJECT"] = "demo";
  EXPECT_EQ(3, world.run({"branch", "get", "feature/x"}));
  EXPECT_THAT(world.console.words, HasSubstr("is written demo/feature/x"));
}

TEST_F(Targets, WhatTheFileChoosesAndIsNotThereIsExplained) {
  const std::string chosen = "is chosen by " + (world.folder / ".pgtwig").string() + ": `pgtwig use NAME`";
  const Error no_project(ErrorCode::not_found, "project demo does not exist", "`pgtwig project list` shows all");
  const Error no_branch(ErrorCode::not_found, "branch demo/dev does not exist", "did you mean demo/devx?");
  write_place(world.folder, "demo/dev\n");
  world.daemon.refuses("GET /v1/projects/demo/branches/dev", no_branch);
  EXPECT_EQ(3, world.run({"psql"}));
  EXPECT_THAT(world.console.words, HasSubstr("demo/dev " + chosen + " chooses another (did you mean demo/devx?)"));
  // What was named and is not there is not the file's doing.
  world.console.words.clear();
  EXPECT_EQ(3, world.run({"branch", "get", "demo/other"}));
  EXPECT_THAT(world.console.words, Not(HasSubstr(".pgtwig")));
  // All of the project is gone, whatever branch of it was named.
  FakeWorld without_project;
  write_file(without_project.folder / ".pgtwig", "demo/dev\n");
  without_project.daemon.refuses("GET /v1/projects/demo/branches/dev", no_project);
  without_project.daemon.refuses("GET /v1/projects/demo/branches/other", no_project);
  EXPECT_EQ(3, without_project.run({"branch", "get", "other"}));
  EXPECT_THAT(without_project.console.words, HasSubstr("demo/dev is chosen by " + without_project.folder.string()));
}

TEST_F(Targets, WhatTheEnvironmentChoosesAndIsNotThereIsExplained) {
  world.world.environment["PGTWIG_PROJECT"] = "demo";
  EXPECT_EQ(3, world.run({"project", "get"}));
  EXPECT_THAT(world.console.words, HasSubstr("demo is chosen by PGTWIG_PROJECT in the environment"));
}

TEST_F(Targets, UseSaysThatWhatIsChosenIsNotThere) {
  write_place(world.folder, "demo/dev\n");
  world.daemon.answers("GET /v1/endpoint", R"({"branch":null})");
  EXPECT_EQ(0, world.run({"use"}));
  EXPECT_THAT(world.console.data, HasSubstr("demo/dev, which does not exist (" + world.folder.string()));
}

TEST_F(Targets, UseChoosesNothingWhereItCannotWrite) {
  world.daemon.answers("GET /v1/projects/demo/branches/dev", branch_json("demo/dev"));
  world.daemon.answers("PUT /v1/endpoint", "{}");
  world.world.working_directory = world.folder / "gone";
  EXPECT_EQ(1, world.run({"use", "demo/dev"}));
  EXPECT_THAT(world.console.words, HasSubstr("PGTWIG_PROJECT"));
  EXPECT_THAT(world.asked(), ElementsAre("GET /v1/projects/demo/branches/dev"));
}

TEST_F(Targets, UseChoosesABranchOfTheCurrentProjectBeforeAProject) {
  world.daemon.answers("GET /v1/projects", projects_json({"demo", "dev"}));
  world.daemon.answers("GET /v1/projects/demo/branches/dev", branch_json("demo/dev"));
  world.daemon.answers("GET /v1/projects/demo/branches/main", branch_json("demo/main"));
  world.daemon.answers("PUT /v1/endpoint", "{}");
  EXPECT_EQ(0, world.run({"use", "dev"}));
  EXPECT_EQ("dev\n", read_file(world.folder / ".pgtwig"));
  EXPECT_EQ(0, world.run({"use", "demo"}));
  EXPECT_EQ("demo\n", read_file(world.folder / ".pgtwig"));
  EXPECT_EQ(0, world.run({"switch", "dev"}));
  EXPECT_EQ("demo/dev\n", read_file(world.folder / ".pgtwig"));
  EXPECT_EQ(0, world.run({"use", "demo/main"}));
  EXPECT_EQ("demo/main\n", read_file(world.folder / ".pgtwig"));
}

TEST_F(Targets, UseLeadsTheEndpointThereUnlessItIsToldNotTo) {
  world.daemon.answers("GET /v1/projects", projects_json({"demo"}));
  world.daemon.answers("GET /v1/projects/demo/branches/dev", branch_json("demo/dev"));
  world.daemon.answers("PUT /v1/endpoint", "{}");
  EXPECT_EQ(0, world.run({"use", "demo/dev"}));
  EXPECT_EQ("PUT /v1/endpoint", world.daemon.requests.back().line);
  EXPECT_EQ(R"({"branch":"demo/dev"})", world.daemon.requests.back().body);
  EXPECT_EQ(0, world.run({"use", "demo"}));
  EXPECT_EQ(R"({"branch":"demo/main"})", world.daemon.requests.back().body);
  EXPECT_EQ(0, world.run({"use", "demo/dev", "--here"}));
  EXPECT_NE("PUT /v1/endpoint", world.daemon.requests.back().line);
  EXPECT_EQ("demo/dev\n", read_file(world.folder / ".pgtwig"));
}

TEST_F(Targets, UseShowsWhatIsChosenWhenNothingIsNamed) {
  world.daemon.answers("GET /v1/endpoint", R"({"branch":null})");
  EXPECT_EQ(0, world.run({"use"}));
  EXPECT_EQ("Here      nothing is chosen\nEndpoint  nothing is chosen\n", world.console.data);
  world.console.data.clear();
  write_place(world.folder, "demo\n");
  world.daemon.answers("GET /v1/endpoint", R"({"branch":"demo/dev"})");
  EXPECT_EQ(0, world.run({"use", "--json"}));
  EXPECT_THAT(world.console.data, HasSubstr(R"("name":"demo")"));
  EXPECT_THAT(world.console.data, HasSubstr(R"("endpoint":"demo/dev")"));
}

TEST_F(Targets, UseRefusesWhatIsNotThere) {
  world.daemon.answers("GET /v1/projects", projects_json({"demo", "shop"}));
  EXPECT_EQ(3, world.run({"use", "demoo"}));
  EXPECT_THAT(world.console.words, HasSubstr("did you mean demo?"));
  EXPECT_EQ(3, world.run({"use", "demo/nowhere"}));
  EXPECT_FALSE(std::filesystem::exists(world.folder / ".pgtwig"));
}

TEST_F(Targets, UseSaysWhenTheEnvironmentGoesFirst) {
  world.daemon.answers("GET /v1/projects/demo/branches/dev", branch_json("demo/dev"));
  world.daemon.answers("PUT /v1/endpoint", "{}");
  world.world.environment["PGTWIG_PROJECT"] = "other";
  EXPECT_EQ(0, world.run({"use", "demo/dev"}));
  EXPECT_THAT(world.console.words, HasSubstr("PGTWIG_PROJECT=other in the environment goes before the file"));
}

}  // namespace
}  // namespace pgtwig::cli::test
