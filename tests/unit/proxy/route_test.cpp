// Which branch a start-up means.
#include "proxy/route.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/errors.h"

namespace pgtwig::proxy {
namespace {

using pgtwig::support::code_of;
using pgtwig::support::error_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

using Parameters = std::vector<std::pair<std::string, std::string>>;

struct Routed {
  std::string choice;  // "-": none
  Parameters parameters;
};

Routed route(Parameters parameters, const std::optional<std::string>& server_name = {}, const RouteRules& rules = {}) {
  wire::StartUp start_up{.parameters = std::move(parameters)};
  const auto choice = take_route(start_up, server_name, rules);
  return {choice ? choice->text() : "-", start_up.parameters};
}

TEST(Route, IsTheSelectedBranchWhereNothingNamesOne) {
  const Routed routed = route({{"user", "ann"}, {"database", "app"}, {"options", "-c work_mem=4MB"}}, "localhost");
  EXPECT_EQ(routed.choice, "-");
  EXPECT_THAT(routed.parameters,
              ElementsAre(Pair("user", "ann"), Pair("database", "app"), Pair("options", "-c work_mem=4MB")));
}

TEST(Route, IsBehindTheLastAtSignOfTheDatabase) {
  EXPECT_EQ(route({{"user", "ann"}, {"database", "app@dev"}}).choice, "dev");
  const Routed routed = route({{"user", "ann"}, {"database", "we@rd@demo/feature/x"}});
  EXPECT_EQ(routed.choice, "demo/feature/x");
  EXPECT_THAT(routed.parameters, ElementsAre(Pair("user", "ann"), Pair("database", "we@rd")));
}

TEST(Route, LeavesPostgresqlsOwnDefaultWhereOnlyTheBranchWasGiven) {
  const Routed routed = route({{"user", "ann"}, {"database", "@dev"}});
  EXPECT_EQ(routed.choice, "dev");
  EXPECT_THAT(routed.parameters, ElementsAre(Pair("user", "ann")));
}

TEST(Route, IsBehindTheLastAtSignOfTheUser) {
  const Routed routed = route({{"user", "ann@example.org@demo/dev"}, {"database", "app"}});
  EXPECT_EQ(routed.choice, "demo/dev");
  EXPECT_THAT(routed.parameters, ElementsAre(Pair("database", "app"), Pair("user", "ann@example.org")));
}

TEST(Route, IsTheSettingInTheOptionsOrInTheStartUpItself) {
  const Routed routed = route({{"user", "ann"}, {"options", "-c pgtwig.branch=demo/dev -c work_mem=4MB"}});
  EXPECT_EQ(routed.choice, "demo/dev");
  EXPECT_THAT(routed.parameters, ElementsAre(Pair("user", "ann"), Pair("options", "-c work_mem=4MB")));
  EXPECT_EQ(route({{"user", "ann"}, {"pgtwig.branch", "demo/dev"}}).choice, "demo/dev");
}

TEST(Route, IsBelowTheDomainOfTheServersName) {
  const Parameters plain{{"user", "ann"}};
  EXPECT_EQ(route(plain, "dev.demo.localhost").choice, "demo/dev");
  EXPECT_EQ(route(plain, "V1.2.Demo.LocalHost").choice, "demo/v1.2");
  EXPECT_EQ(route(plain, "db.example.org").choice, "-");
  EXPECT_EQ(route(plain, "dev.demo.pg.example.org", {.domain = "pg.example.org"}).choice, "demo/dev");
  EXPECT_EQ(code_of([&] { route(plain, "dev.localhost"); }), ErrorCode::invalid_argument);
}

TEST(Route, IsTheDatabaseItselfOnlyWhereThatIsConfigured) {
  const RouteRules rules{.database_is_branch = true};
  EXPECT_EQ(route({{"user", "ann"}, {"database", "experiment1"}}).choice, "-");
  const Routed routed = route({{"user", "ann"}, {"database", "experiment1"}}, {}, rules);
  EXPECT_EQ(routed.choice, "experiment1");
  EXPECT_THAT(routed.parameters, ElementsAre(Pair("user", "ann"), Pair("database", "postgres")));
  EXPECT_EQ(route({{"user", "ann"}, {"database", "app@dev"}}, {}, rules).choice, "dev");
  EXPECT_EQ(route({{"user", "ann"}}, {}, rules).choice, "-");
  // What replicates a cluster has no database, whatever its client calls it.
  EXPECT_EQ(route({{"user", "ann"}, {"database", "replication"}, {"replication", "true"}}, {}, rules).choice, "-");
}

TEST(Route, MayBeNamedTwiceButNotDifferently) {
  EXPECT_EQ(route({{"user", "ann@dev"}, {"database", "app@demo/dev"}}).choice, "demo/dev");
  EXPECT_EQ(route({{"user", "ann@demo/dev"}, {"database", "app@dev"}}, "dev.demo.localhost").choice, "demo/dev");
  const Error error = error_of([] { route({{"user", "ann@main"}, {"database", "app@demo/dev"}}); });
  EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
  EXPECT_THAT(error.message(), HasSubstr("demo/dev by the database, main by the user"));
  EXPECT_EQ(code_of([] { route({{"user", "ann@other/dev"}}, "dev.demo.localhost"); }), ErrorCode::invalid_argument);
}

TEST(Route, NamesWhatIsNoBranchAndWhereItStood) {
  for (const char* database : {"app@", "app@a..b", "app@Demo/dev", "app@demo/", "app@/dev"}) {
    const Error error = error_of([&] { route({{"user", "ann"}, {"database", database}}); });
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument) << database;
    EXPECT_THAT(error.message(), HasSubstr(database));
  }
}

TEST(Route, NeedsAUser) {
  EXPECT_EQ(code_of([] { route({{"database", "app"}}); }), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of([] { route({{"user", "@dev"}}); }), ErrorCode::invalid_argument);
}

}  // namespace
}  // namespace pgtwig::proxy
