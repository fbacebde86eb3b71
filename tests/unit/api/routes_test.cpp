// The routing table.
#include "api/routes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "base/error.h"

namespace pgtwig::api {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Match find(const std::string& method, std::vector<std::string> segments) {
  Request request;
  request.method = method;
  request.segments = std::move(segments);
  request.target = "/the/target";
  return find_route(request);
}

TEST(Routes, TakeNamesOutOfThePath) {
  Match match = find("POST", {"v1", "projects", "demo", "branches", "feature/x", "reset"});
  EXPECT_EQ(match.route->pattern, "/v1/projects/{project}/branches/{branch}/reset");
  EXPECT_THAT(match.names, ElementsAre("demo", "feature/x"));
}

TEST(Routes, TakeTheNameOfASnapshotWithThatOfItsBranch) {
  Match match = find("DELETE", {"v1", "projects", "demo", "branches", "feature/x", "snapshots", "before-1.2"});
  EXPECT_THAT(match.names, ElementsAre("demo", "feature/x", "before-1.2"));
  EXPECT_EQ(find("POST", {"v1", "snapshots", "cleanup"}).route->kind, Kind::change);
}

TEST(Routes, ArePickedByTheirMethod) {
  EXPECT_EQ(find("GET", {"v1", "projects"}).route->kind, Kind::read);
  EXPECT_EQ(find("POST", {"v1", "projects"}).route->kind, Kind::change);
}

TEST(Routes, SayWhichMethodsAPathHas) {
  try {
    find("PUT", {"v1", "projects", "demo"});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_THAT(error.hint(), HasSubstr("GET or PATCH or DELETE"));
  }
}

TEST(Routes, AreNotFoundByHalfOrByMore) {
  std::vector<std::vector<std::string>> paths{{},
                                              {""},
                                              {"v1"},
                                              {"v2", "projects"},
                                              {"v1", "projects", "demo", "branches", "dev", "reset", "x"},
                                              {"v1", "project"}};
  for (const auto& path : paths) {
    try {
      find("GET", path);
      FAIL() << path.size();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::not_found);
      EXPECT_FALSE(error.hint().empty());
    }
  }
}

TEST(Routes, ThatConfigurePoolsAreTheAdministrators) {
  std::set<std::string> guarded;
  for (const Route& route : routes()) {
    if (route.access == Access::administrator) guarded.insert(std::string(route.pattern));
  }
  EXPECT_THAT(guarded, ElementsAre("/v1/daemon/stop", "/v1/pools", "/v1/pools/{pool}/grow", "/v1/pools/{pool}/trim"));
}

TEST(Routes, HaveAHandlerUnlessTheServerItselfAnswers) {
  for (const Route& route : routes()) {
    EXPECT_EQ(route.handle == nullptr, route.kind == Kind::stop || route.kind == Kind::events) << route.pattern;
  }
}

}  // namespace
}  // namespace pgtwig::api
