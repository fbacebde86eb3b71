// Words become a command with values, or an error that says what to do.
#include "cli/parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/unit/cli/fake_world.h"

namespace pgtwig::cli::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Words = std::vector<std::string>;

Error parse_error(const Words& words) {
  try {
    parse_words(words);
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "no error";
  return Error(ErrorCode::internal, "");
}

TEST(Parser, TakesOptionsBeforeBetweenAndBehindTheCommand) {
  for (const Words& words : {Words{"--project", "demo", "branch", "get", "dev"},
                             {"branch", "--project", "demo", "get", "dev"},
                             {"branch", "get", "--project=demo", "dev"},
                             {"branch", "get", "dev", "--project", "demo"}}) {
    auto call = parse_words(words);
    EXPECT_EQ("pgtwig branch get", call.path.text());
    EXPECT_EQ("demo", call.invocation.get("project"));
    EXPECT_EQ("dev", call.invocation.get("BRANCH"));
  }
}

TEST(Parser, TakesValuesJoinedAndApart) {
  for (const Words& words : {Words{"start", "dev", "--port", "6005"},
                             {"start", "dev", "--port=6005"},
                             {"start", "-p6005", "dev"},
                             {"start", "-p", "6005", "dev"}})
    EXPECT_EQ("6005", parse_words(words).invocation.get("port"));
}

TEST(Parser, GathersRepeatedOptionsInTheirOrder) {
  auto call = parse_words({"start", "dev", "--set", "a=1", "--set=b=[2,3]", "--set", "c="});
  EXPECT_THAT(call.invocation.all("set"), ElementsAre("a=1", "b=[2,3]", "c="));
}

TEST(Parser, KnowsOneOptionByAllItsNames) {
  for (const char* name : {"--from", "--parent", "--source"})
    EXPECT_EQ("main@10m", parse_words({"branch", "create", "x", name, "main@10m"}).invocation.get("from"));
  for (const char* name : {"--at", "--pitr"})
    EXPECT_EQ("2 hours ago", parse_words({"branch", "create", "x", name, "2 hours ago"}).invocation.get("at"));
  for (const char* name : {"--cascade", "--force"})
    EXPECT_TRUE(parse_words({"branch", "rm", "x", name}).invocation.has("cascade"));
}

TEST(Parser, LeavesWordsBehindTwoDashesToThePrograms) {
  auto call = parse_words({"run", "demo/dev", "--", "npm", "test", "--json", "--", "-h"});
  EXPECT_THAT(call.invocation.rest(), ElementsAre("npm", "test", "--json", "--", "-h"));
  EXPECT_FALSE(call.invocation.has("json"));
  EXPECT_FALSE(call.invocation.has("help"));
}

TEST(Parser, TakesWordsBehindTwoDashesAsArgumentsWhereNothingIsPassedOn) {
  EXPECT_EQ("-x", parse_words({"branch", "get", "--", "-x"}).invocation.get("BRANCH"));
}

TEST(Parser, TakesADashAsAValue) {
  EXPECT_EQ("-", parse_words({"project", "create", "demo", "--from-dump", "-"}).invocation.get("from-dump"));
}

TEST(Parser, TakesStrangeWordsAsTheyAre) {
  EXPECT_EQ("[a,b]", parse_words({"branch", "get", "[a,b]"}).invocation.get("BRANCH"));
  EXPECT_EQ("été/日本", parse_words({"branch", "get", "été/日本"}).invocation.get("BRANCH"));
}

struct Refusal {
  Words words;
  std::string message;
  std::string hint;
};

TEST(Parser, RefusesWrongUseAndNamesWhatIsNear) {
  const std::vector<Refusal> refusals{
      {{"brunch"}, "'brunch' is not a command of `pgtwig`", "did you mean branch"},
      {{"branch", "creat", "x"}, "'creat' is not a command of `pgtwig branch`", "did you mean create"},
      {{"branch"}, "`pgtwig branch` needs a command", "pgtwig branch --help"},
      {{"branch", "create", "x", "--prot", "6001"},
       "`pgtwig branch create` has no option --prot",
       "did you mean --port"},
      {{"branch", "create", "x", "--prot=6001"}, "has no option --prot", "did you mean --port"},
      {{"branch", "create", "x", "-Z"}, "has no option -Z", "--help"},
      {{"--frobnicate"}, "`pgtwig` has no option --frobnicate", "pgtwig --help"},
      {{"branch", "create", "x", "--port"}, "--port needs a value", "--help"},
      {{"branch", "create", "x", "--port", "6001", "--port", "6002"}, "--port is given twice", "--help"},
      {{"branch", "create", "x", "--no-start=yes"}, "--no-start is a switch", "--help"},
      {{"branch", "create"}, "`pgtwig branch create` needs BRANCH", "--help"},
      {{"branch", "create", "x", "y"}, "does not take the argument 'y'", "--help"},
      {{"run", "dev", "npm"}, "does not take the argument 'npm'", "behind '--'"},
      {{"version", "x"}, "does not take the argument 'x'", "--help"},
      {{"branch", "create", "x", "--port", "70000"}, "--port: '70000' is not a port", "from 1 to 65535"},
      {{"branch", "create", "x", "--port", "six"}, "--port: 'six' is not a port", "from 1 to 65535"},
      {{"branch", "create", "x", "--ttl", "soon"}, "--ttl 'soon'", "2h"},
      {{"branch", "create", "x", "--at", "yesterday-ish!"}, "--at 'yesterday-ish!'", "2 hours ago"},
      {{"branch", "create", "x", "--durability", "ful"}, "--durability: 'ful'", "did you mean full"},
      {{"branch", "create", "x", "--set", "work_mem"},
       "--set: 'work_mem' is not of the form name=value",
       "--set work_mem=64MB"},
      {{"branch", "create", ""}, "BRANCH: '' is empty", "--help"},
      {{"branch", "list", "-o", "sculpture"}, "--output: 'sculpture'", "one of: table"},
      {{"pool", "create", "p", "--image-size", "big"}, "--image-size 'big'", "20G"},
      {{"pool", "grow", "p", "100"}, "SIZE '100': '100' has no unit", "20G"},
      {{"project", "create", "Demo"}, "NAME 'Demo'", "lower-case"},
      {{"project", "create", "demo", "--pg-version", "latest"}, "--pg-version: 'latest'", "a number"},
      {{"status", "weather"}, "PART: 'weather'", "system, branches, snapshots, health"},
  };
  for (const auto& refusal : refusals) {
    Error error = parse_error(refusal.words);
    EXPECT_EQ(ErrorCode::invalid_argument, error.code());
    EXPECT_THAT(error.message(), HasSubstr(refusal.message));
    EXPECT_THAT(error.hint(), HasSubstr(refusal.hint)) << error.message();
  }
}

TEST(Parser, RefusesAFormatThatTheCommandDoesNotHave) {
  FakeWorld world;
  EXPECT_EQ(1, world.run({"project", "list", "-o", "dsn"}));
  EXPECT_EQ("error: `pgtwig project list` has no output format dsn\nhint: one of: table, json, yaml, name\n",
            world.console.words);
  EXPECT_TRUE(world.daemon.requests.empty());
}

struct Alias {
  Words words;
  std::string command;
};

std::vector<Alias> verb_aliases(const Words& nouns, const std::vector<Words>& verbs) {
  std::vector<Alias> aliases;
  for (const auto& noun : nouns)
    for (const auto& names : verbs)
      for (const auto& name : names) aliases.push_back({{noun, name}, "pgtwig " + nouns.front() + " " + names.front()});
  return aliases;
}

TEST(Aliases, OfEveryNounAndVerbLeadToTheSameCommand) {
  std::vector<Alias> aliases{{{"start"}, "pgtwig start"},     {{"stop"}, "pgtwig stop"},
                             {{"restart"}, "pgtwig restart"}, {{"status"}, "pgtwig status"},
                             {{"ls"}, "pgtwig status"},       {{"use"}, "pgtwig use"},
                             {{"switch"}, "pgtwig use"},      {{"psql"}, "pgtwig psql"},
                             {{"run"}, "pgtwig run"},         {{"env"}, "pgtwig env"},
                             {{"url"}, "pgtwig url"},         {{"version"}, "pgtwig version"},
                             {{"help"}, "pgtwig help"},       {{"completion"}, "pgtwig completion"}};
  auto add = [&](const std::vector<Alias>& more) { aliases.insert(aliases.end(), more.begin(), more.end()); };
  add(verb_aliases({"project", "projects", "proj", "p", "db"},
                   {{"create"}, {"list", "ls"}, {"get", "show", "info"}, {"rename"}, {"delete", "rm", "destroy"}}));
  add(verb_aliases({"branch", "branches", "br", "b"}, {{"create"},
                                                       {"list", "ls"},
                                                       {"get", "show", "info"},
                                                       {"rename"},
                                                       {"delete", "rm"},
                                                       {"reset", "sync"},
                                                       {"start"},
                                                       {"stop"},
                                                       {"restart"},
                                                       {"password", "pass"},
                                                       {"url"},
                                                       {"logs"}}));
  add(verb_aliases({"pool", "pools"}, {{"create"}, {"list", "ls"}, {"get"}, {"grow"}, {"trim"}}));
  add(verb_aliases({"operation", "op", "job"}, {{"list", "ls"}, {"get"}}));
  add(verb_aliases({"daemon"}, {{"run"}, {"start"}, {"stop"}, {"status"}}));
  add(verb_aliases({"config"}, {{"get"}, {"set"}, {"list"}, {"path"}}));
  add(verb_aliases({"state"}, {{"rebuild"}}));
  for (auto& alias : aliases) {
    alias.words.emplace_back("--help");
    EXPECT_EQ(alias.command, parse_words(alias.words).path.text());
  }
}

}  // namespace
}  // namespace pgtwig::cli::test
