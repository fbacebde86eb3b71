// What is offered at the cursor, and the shells' scripts in real shells. A program that only repeats prepared
// candidates stands in for pgtwig there.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/fs.h"
#include "base/process.h"
#include "cli/complete.h"
#include "tests/unit/cli/fake_world.h"

namespace pgtwig::cli::test {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::IsSupersetOf;
using testing::Not;
using testing::UnorderedElementsAre;
using Words = std::vector<std::string>;

class Completion : public testing::Test {
 protected:
  Completion() {
    world.daemon.answers("GET /v1/projects", projects_json({"demo", "shop"}));
    world.daemon.answers("GET /v1/branches", "{\"branches\":[" + branch_json("demo/main") + "," +
                                                 branch_json("demo/feature/x") + "," + branch_json("shop/main") + "]}");
  }
  void make_snapshots() {
    world.daemon.answers("GET /v1/snapshots",
                         snapshots_json({snapshot_view("demo/main", "v1"), snapshot_view("demo/main", "v2"),
                                         snapshot_view("demo/feature/x", "done")}));
  }
  // The candidates' texts, and wishes as the scripts see them.
  Words offered(Words words) {
    words.insert(words.begin(), {"__complete", "--"});
    world.console.data.clear();
    EXPECT_EQ(0, world.run(words));
    EXPECT_EQ("", world.console.words);
    Words texts;
    std::string_view data = world.console.data;
    while (!data.empty()) {
      auto line = data.substr(0, data.find('\n'));
      texts.emplace_back(line.substr(0, line.find('\t')));
      data.remove_prefix(line.size() + 1);
    }
    return texts;
  }
  FakeWorld world;
};

TEST_F(Completion, OffersCommandsAndHidesTheHiddenOnes) {
  EXPECT_THAT(offered({""}), IsSupersetOf({"project", "branch", "psql"}));
  EXPECT_THAT(offered({""}), Not(Contains("__complete")));
  EXPECT_THAT(offered({"branch", "re"}), UnorderedElementsAre("reset", "rename", "restart", "restore"));
  EXPECT_THAT(offered({"branch", "sy"}), ElementsAre("sync"));
  EXPECT_THAT(offered({"nonsense", ""}), IsEmpty());
  EXPECT_THAT(offered({"help", "br"}), ElementsAre("branch", "branches", "br"));
  EXPECT_THAT(offered({"help", "branch", "re"}), UnorderedElementsAre("reset", "rename", "restart", "restore"));
  EXPECT_THAT(offered({"help", "branch", "reset", ""}), IsEmpty());
  EXPECT_THAT(offered({"help", "nonsense", ""}), IsEmpty());
}

TEST_F(Completion, OffersLiveNamesWithSlashes) {
  EXPECT_THAT(offered({"branch", "get", "demo/"}), ElementsAre("demo/main", "demo/feature/x"));
  EXPECT_THAT(offered({"psql", ""}), ElementsAre("demo/main", "demo/feature/x", "shop/main"));
  EXPECT_THAT(offered({"branch", "create", "s"}), ElementsAre("shop/"));
  EXPECT_THAT(offered({"project", "delete", ""}), ElementsAre("demo", "shop"));
  EXPECT_THAT(offered({"branch", "create", "demo/new", "--from", "demo/f"}), ElementsAre("demo/feature/x"));
  EXPECT_THAT(offered({"branch", "create", "demo/new", "--from=demo/f"}), ElementsAre("--from=demo/feature/x"));
}

TEST_F(Completion, OffersShortNamesOfTheChosenProject) {
  EXPECT_THAT(offered({"branch", "get", "--project", "demo", "fe"}), ElementsAre("feature/x"));
  world.world.environment["PGTWIG_PROJECT"] = "shop";
  EXPECT_THAT(offered({"branch", "get", "ma"}), ElementsAre("main"));
}

TEST_F(Completion, OffersSnapshotsBehindTheirBranch) {
  make_snapshots();
  EXPECT_THAT(offered({"snapshot", "get", "demo/main@"}), ElementsAre("demo/main@v1", "demo/main@v2"));
  EXPECT_THAT(offered({"commit", "rm", ""}), ElementsAre("demo/main@v1", "demo/main@v2", "demo/feature/x@done"));
  EXPECT_THAT(offered({"branch", "create", "demo/x", "--from", "demo/feature/x@"}), ElementsAre("demo/feature/x@done"));
  EXPECT_THAT(offered({"branch", "create", "demo/x", "--from=demo/main@v2"}), ElementsAre("--from=demo/main@v2"));
  EXPECT_THAT(offered({"snapshot", "get", "--project", "demo", "main@"}), ElementsAre("main@v1", "main@v2"));
}

TEST_F(Completion, OffersThePointsOfTheBranchThatIsNamed) {
  make_snapshots();
  EXPECT_THAT(offered({"branch", "restore", "demo/main", "--at", ""}), ElementsAre("v1", "v2"));
  EXPECT_THAT(offered({"branch", "create", "demo/x", "--from", "demo/feature/x", "--at", ""}), ElementsAre("done"));
  EXPECT_THAT(offered({"branch", "create", "demo/x", "--at", "v"}), ElementsAre("v1", "v2"));
}

TEST_F(Completion, OffersOptionsChoicesAndFiles) {
  EXPECT_THAT(offered({"branch", "create", "x", "--c"}), ElementsAre("--consistency", "--cpus", "--config"));
  EXPECT_THAT(offered({"branch", "create", "x", "--durability", ""}), ElementsAre("full", "relaxed", "none"));
  EXPECT_THAT(offered({"branch", "list", "-o", "j"}), ElementsAre("json"));
  EXPECT_THAT(offered({"project", "create", "x", "--from-dump", ""}), ElementsAre(":files"));
  EXPECT_THAT(offered({"pool", "create", "x", "--directory", "/m"}), ElementsAre(":directories"));
  EXPECT_THAT(offered({"run", "demo/dev", "--", "n"}), ElementsAre(":files"));
  EXPECT_THAT(offered({"config", "get", "ports."}), ElementsAre("ports.first", "ports.last"));
  EXPECT_THAT(offered({"config", "unset", "ports."}), ElementsAre("ports.first", "ports.last"));
}

TEST_F(Completion, StartsNoDaemonAndFailsInSilence) {
  world.daemon.is_running = false;
  EXPECT_THAT(offered({"branch", "get", ""}), IsEmpty());
  EXPECT_EQ(0, world.start_wishes);
  world.daemon.is_running = true;
  world.daemon.answers("GET /v1/branches", "not JSON");
  EXPECT_THAT(offered({"branch", "get", ""}), IsEmpty());
  write_file(world.folder / ".pgtwig", "Malformed!\n");
  EXPECT_THAT(offered({"branch", "get", ""}), IsEmpty());
}

// A shell with the script loaded, and a pgtwig that prints `candidates` and writes down how it was called.
class ShellScript : public testing::Test {
 protected:
  CommandResult run_shell(const std::string& shell, const Words& options, const std::string& code,
                          const std::string& candidates) {
    write_file(folder() / "candidates", candidates);
    write_file(folder() / "pgtwig",
               "#!/bin/sh\nprintf '<%s>' \"$@\" > '" + (folder() / "call").string() + "'\ncat '" +
                   (folder() / "candidates").string() + "'\n",
               0755);
    write_file(folder() / "script", completion_script(shell));
    std::filesystem::permissions(folder() / "pgtwig", std::filesystem::perms::owner_all);
    Command command;
    command.argv = {shell};
    command.argv.insert(command.argv.end(), options.begin(), options.end());
    command.argv.insert(command.argv.end(), {"-c", "source '" + (folder() / "script").string() + "'\n" + code});
    command.environment = {{"PATH", folder().string() + ":" + std::getenv("PATH")}, {"HOME", folder().string()}};
    command.directory = folder();
    command.timeout = std::chrono::seconds(20);
    return run_command(command);
  }
  std::string call() const { return read_file(folder() / "call"); }
  const std::filesystem::path& folder() const { return world_.folder; }
  static bool is_installed(const std::string& shell) {
    for (const char* place : {"/bin/", "/usr/bin/", "/usr/local/bin/"})
      if (std::filesystem::exists(place + shell)) return true;
    return false;
  }

 private:
  using Command = pgtwig::Command;
  FakeWorld world_;
};

constexpr const char* bash_harness = R"(
type -t _pgtwig >/dev/null || exit 9
COMP_WORDS=(WORDS); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_pgtwig
printf '%s\n' "${COMPREPLY[@]}"
)";

std::string bash_with(const std::string& words) {
  std::string code = bash_harness;
  return code.replace(code.find("WORDS)"), 5, words);
}

TEST_F(ShellScript, OfBashOffersWhatPgtwigSays) {
  auto result = run_shell("bash", {"--norc"}, bash_with("pgtwig branch get demo/f"),
                          "demo/feature/x\trunning\ndemo/feature/y\tstopped\n");
  EXPECT_EQ("demo/feature/x\ndemo/feature/y\n", result.output) << result.error_output;
  EXPECT_EQ("<__complete><--><branch><get><demo/f>", call());
}

TEST_F(ShellScript, OfBashPutsOptionsAndTheirValuesTogetherAgain) {
  auto result =
      run_shell("bash", {"--norc"}, bash_with("pgtwig branch create x --from = demo/f"), "--from=demo/feature/x\n");
  EXPECT_EQ("demo/feature/x\n", result.output) << result.error_output;
  EXPECT_EQ("<__complete><--><branch><create><x><--from=demo/f>", call());
}

TEST_F(ShellScript, OfBashPutsABranchAndItsSnapshotTogetherAgain) {
  auto result = run_shell("bash", {"--norc"}, bash_with("pgtwig snapshot get demo/main @ v"),
                          "demo/main@v1\tschema 12\ndemo/main@v2\n");
  EXPECT_EQ("@v1\n@v2\n", result.output) << result.error_output;
  EXPECT_EQ("<__complete><--><snapshot><get><demo/main@v>", call());
  result =
      run_shell("bash", {"--norc"}, bash_with("pgtwig branch create x --from = demo/main @"), "--from=demo/main@v1\n");
  EXPECT_EQ("@v1\n", result.output) << result.error_output;
  EXPECT_EQ("<__complete><--><branch><create><x><--from=demo/main@>", call());
}

TEST_F(ShellScript, OfBashKeepsAnEmptyWord) {
  auto result = run_shell("bash", {"--norc"}, bash_with("pgtwig branch ''"), "create\n");
  EXPECT_EQ("create\n", result.output);
  EXPECT_EQ("<__complete><--><branch><>", call());
}

TEST_F(ShellScript, OfBashOffersNothingWithoutCandidates) {
  auto result = run_shell("bash", {"--norc"}, bash_with("pgtwig branch get ''"), "");
  EXPECT_EQ("\n", result.output);
}

// A zsh at a terminal of its own, as a person has it: what is typed there is completed by its own machinery.
std::string zsh_at_a_terminal(const std::filesystem::path& folder, const std::string& typed,
                              const std::string& expected) {
  return "zmodload zsh/zpty\n"
         "zpty z zsh -f -i\n"
         "zpty -w z 'autoload -U compinit; compinit -u -D; source " +
         (folder / "script").string() +
         "; print REA\"\"DY'\n"
         "zpty -r z out '*READY*'\n"
         "zpty -w -n z $'" +
         typed +
         "\\t'\n"
         "zpty -r z out '*" +
         expected +
         "*'\n"
         "zpty -d z\n"
         "print completed\n";
}

TEST_F(ShellScript, OfZshCompletesNamesWithSlashes) {
  if (!is_installed("zsh")) GTEST_SKIP() << "no zsh";
  auto result = run_shell("zsh", {"-f"}, zsh_at_a_terminal(folder(), "pgtwig branch get demo/f", "demo/feature/x"),
                          "demo/feature/x\trunning: yes\n");
  EXPECT_EQ("completed\n", result.output) << result.error_output;
  EXPECT_EQ("<__complete><--><branch><get><demo/f>", call());
}

TEST_F(ShellScript, OfZshCompletesOptions) {
  if (!is_installed("zsh")) GTEST_SKIP() << "no zsh";
  auto result = run_shell("zsh", {"-f"}, zsh_at_a_terminal(folder(), "pgtwig branch create x --du", "--durability"),
                          "--durability\thow safe\n");
  EXPECT_EQ("completed\n", result.output) << result.error_output;
}

TEST_F(ShellScript, OfFishCompletesWithMeanings) {
  if (!is_installed("fish")) GTEST_SKIP() << "no fish";
  auto result = run_shell("fish", {"--no-config"}, "complete -C 'pgtwig branch get demo/f'",
                          "demo/feature/x\trunning\ndemo/feature/y\tstopped\n");
  EXPECT_EQ("demo/feature/x\trunning\ndemo/feature/y\tstopped\n", result.output) << result.error_output;
  EXPECT_EQ("<__complete><--><branch><get><demo/f>", call());
}

TEST_F(ShellScript, OfEveryShellIsReadWithoutAWord) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    if (!is_installed(shell)) continue;
    auto result = run_shell(shell, {}, "exit 0", "");
    EXPECT_EQ(0, result.exit_status) << shell;
    EXPECT_EQ("", result.error_output) << shell;
  }
}

}  // namespace
}  // namespace pgtwig::cli::test
