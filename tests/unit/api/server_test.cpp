// The API over a real engine and catalog: what is answered, streamed and refused. Pools of plain copies are what it can
// make without a PostgreSQL.
#include "api/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "api/json.h"
#include "api/metrics_server.h"
#include "tests/support/wait.h"
#include "tests/unit/api/raw_client.h"
#include "tests/unit/api/served_engine.h"

namespace pgtwig::api {
namespace {

using pgtwig::support::wait_until;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class ServerTest : public ::testing::Test {
 protected:
  std::string ask(const std::string& method, const std::string& target, const std::string& body = {},
                  const std::string& header = {}) {
    RawClient client(served_.socket());
    client.say(method + " " + target + " HTTP/1.1\r\nConnection: close\r\n" + header +
               "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
    return client.listen_to_the_end();
  }
  // The JSON for a pool of the given name in a new directory.
  std::string pool_json(const std::string& name) {
    std::filesystem::path directory = served_.directory() / name;
    std::filesystem::create_directory(directory);
    return R"({"name":")" + name + R"(","driver":"copy","directory":")" + directory.string() + "\"}";
  }

  ServedEngine served_;
};

const std::string streamed = "Accept: application/x-ndjson\r\n";

TEST_F(ServerTest, SaysWhatItIs) {
  std::string answer = get(served_.socket(), "/v1/version");
  auto version = from_json<VersionView>(answer.substr(answer.find("\r\n\r\n")));
  EXPECT_EQ(version.version, PGTWIG_VERSION);
  EXPECT_EQ(version.pid, ::getpid());
  EXPECT_EQ(version.root, served_.directory().string());
}

TEST_F(ServerTest, ListsNothingWhereNothingIs) {
  EXPECT_THAT(get(served_.socket(), "/v1/projects"), HasSubstr(R"({"projects":[]})"));
  EXPECT_THAT(get(served_.socket(), "/v1/branches"), HasSubstr(R"({"branches":[]})"));
  EXPECT_THAT(get(served_.socket(), "/v1/operations"), HasSubstr(R"({"operations":[]})"));
}

TEST_F(ServerTest, TellsPrometheusHowThingsStand) {
  ask("POST", "/v1/pools", pool_json("plain"));
  ask("POST", "/v1/pools", pool_json("plain"));  // there is one already
  const std::string answer = get(served_.socket(), "/metrics");
  EXPECT_THAT(answer, HasSubstr("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
  EXPECT_THAT(answer, HasSubstr("\npgtwig_build_info{version=\"" PGTWIG_VERSION "\"} 1\n"));
  EXPECT_THAT(answer, HasSubstr("\npgtwig_branches{state=\"suspended\"} 0\n"));
  EXPECT_THAT(answer, HasSubstr("\npgtwig_pool_ready{pool=\"plain\"} 1\n"));
  EXPECT_THAT(answer, HasSubstr("\npgtwig_operations_total{kind=\"pool create\",outcome=\"done\"} 1\n"));
  EXPECT_THAT(answer, HasSubstr("\npgtwig_operation_seconds_count{kind=\"pool create\"} 1\n"));
}

TEST_F(ServerTest, TellsPrometheusTheMetricsByTcpAndNothingElse) {
  EXPECT_FALSE(Peer{}.is_administrator());
  const MetricsServer metrics(served_.engine(), make_address("127.0.0.1", 0));
  const SocketAddress address = make_address("127.0.0.1", metrics.port());
  EXPECT_THAT(get(address, "/metrics"), HasSubstr("\npgtwig_build_info{version=\"" PGTWIG_VERSION "\"} 1\n"));
  for (const char* path : {"/v1/projects", "/v1/version", "/", "/metrics/x"}) {
    EXPECT_THAT(get(address, path), StartsWith("HTTP/1.1 404")) << path;
  }
  const auto post = [&](const std::string& header) {
    RawClient client(address);
    client.say("POST /metrics HTTP/1.1\r\nConnection: close\r\n" + header + "Content-Length: 2\r\n\r\n{}");
    return client.listen_to_the_end();
  };
  EXPECT_THAT(post(""), StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(post("Content-Type: application/vnd.pgtwig.dump\r\n"), HasSubstr("nothing can be uploaded here"));
  try {
    const MetricsServer second(served_.engine(), address);
    ADD_FAILURE() << "it listens where another one does";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::conflict);
  }
}

TEST_F(ServerTest, EndsTheMetricsWithoutWaitingForStrangers) {
  auto metrics = std::make_unique<MetricsServer>(served_.engine(), make_address("127.0.0.1", 0));
  const SocketAddress address = make_address("127.0.0.1", metrics->port());
  RawClient idle(address);
  idle.say("GET /metrics HTTP/1.1\r\n\r\n");
  idle.listen_until("\r\n\r\n");
  RawClient half(address);
  half.say("GET /metr");
  metrics.reset();
  EXPECT_EQ(half.listen_to_the_end(), "");
  idle.listen_to_the_end();
  EXPECT_EQ(get(address, "/metrics"), "");
}

TEST_F(ServerTest, LeadsTheEndpointNowhereUntilABranchIsSelected) {
  EXPECT_THAT(get(served_.socket(), "/v1/endpoint"), HasSubstr(R"({"branch":null})"));
  EXPECT_THAT(ask("PUT", "/v1/endpoint", R"({"branch":"demo/dev"})"), StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(ask("PUT", "/v1/endpoint", R"({"branch":"dev"})"), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(ask("PUT", "/v1/endpoint", "{}"), HasSubstr(R"({"branch":null})"));
}

TEST_F(ServerTest, TakesNoTimeToSleepAfterThatIsNone) {
  const std::string target = "/v1/projects/demo/suspend-after";
  EXPECT_THAT(ask("PUT", target, R"({"after":"5m"})"), StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(ask("PUT", target, R"({"after":"soon"})"), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(ask("PUT", target, R"({"later":"5m"})"), StartsWith("HTTP/1.1 400"));
}

TEST_F(ServerTest, AnswersEachKindOfErrorWithItsStatus) {
  struct Case {
    const char* method;
    const char* target;
    const char* body;
    const char* status;
    const char* message;
  };
  const Case cases[] = {
      {"GET", "/v1/projects/nowhere", "", "404", "nowhere"},
      {"GET", "/v1/projects/Not%20A%20Name", "", "400", "Not A Name"},
      {"GET", "/v1/projects/demo/branches/a..b", "", "400", "a..b"},
      {"GET", "/v1/elsewhere", "", "404", "/v1/elsewhere"},
      {"DELETE", "/v1/status", "", "400", "DELETE"},
      {"GET", "/v1/branches?projekt=x", "", "400", "projekt"},
      {"POST", "/v1/projects", "{", "400", "JSON"},
      {"POST", "/v1/projects", "{}", "400", "'name' is missing"},
      {"POST", "/v1/projects", R"({"name":"demo","pg_versoin":15})", "400", "pg_versoin"},
      {"POST", "/v1/projects", R"({"name":"demo","port":0})", "400", "'port'"},
      {"POST", "/v1/projects/demo/branches", R"({"name":"x","durability":"some"})", "400", "some"},
      {"POST", "/v1/projects/demo/branches", R"({"name":"x","consistency":"often"})", "400", "often"},
      {"POST", "/v1/projects/demo/branches", R"({"name":"x","ttl":"soon"})", "400", "soon"},
      {"POST", "/v1/pools/demo/grow", "{}", "400", "'size' is missing"},
      {"POST", "/v1/projects/demo/branches/main/restore", "{}", "400", "'at' is missing"},
      {"POST", "/v1/projects/demo/branches/main/restore", R"({"at":"2026-13-01T00:00:00Z"})", "400", "2026-13-01"},
      {"POST", "/v1/projects/demo/branches/main/snapshots", R"({"nmae":"x"})", "400", "did you mean name?"},
      {"GET", "/v1/snapshots?branch=main", "", "400", "names no project before the branch"},
      {"GET", "/v1/projects/nowhere/branches/main/snapshots", "", "404", "nowhere"},
      {"GET", "/v1/projects/nowhere/branches/main/snapshots/v1", "", "404", "nowhere"},
      {"GET", "/v1/projects/nowhere/branches/main/history", "", "404", "nowhere"},
      {"GET", "/v1/projects/nowhere/branches/main/wal", "", "404", "nowhere"},
      {"GET", "/v1/projects/nowhere/branches/main/schedule", "", "404", "nowhere"},
      {"PUT", "/v1/projects/demo/branches/main/schedule", R"({"every":"often"})", "400", "often"},
      {"POST", "/v1/snapshots/cleanup", "{}", "400", "'days' is missing"},
      {"POST", "/v1/snapshots/cleanup", R"({"days":-1})", "400", "'days'"},
      {"POST", "/v1/wal/cleanup", "{}", "400", "'days' is missing"},
      {"POST", "/v1/wal/verify", R"({"branch":"main"})", "400", "names no project before the branch"},
      {"DELETE", "/v1/operations/0123456789ab", "", "404", "0123456789ab"},
  };
  for (const Case& bad : cases) {
    std::string answer = ask(bad.method, bad.target, bad.body);
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 " + std::string(bad.status))) << bad.target << bad.body;
    EXPECT_THAT(answer, HasSubstr(bad.message)) << bad.target << bad.body;
  }
}

TEST_F(ServerTest, AnswersForSnapshotsAndWalWhereNothingIs) {
  EXPECT_THAT(get(served_.socket(), "/v1/snapshots"), HasSubstr(R"({"snapshots":[]})"));
  EXPECT_THAT(ask("POST", "/v1/snapshots/cleanup", R"({"days":30,"dry_run":true})"),
              HasSubstr(R"({"deleted":[],"kept":[],"is_dry_run":true})"));
  EXPECT_THAT(ask("POST", "/v1/wal/verify"), HasSubstr(R"({"segments":0,"problems":[],"windows":[]})"));
}

TEST_F(ServerTest, AnswersAChangeWithItsResult) {
  std::string answer = ask("POST", "/v1/pools", pool_json("disk"));
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
  auto pool = from_json<engine::PoolView>(answer.substr(answer.find("\r\n\r\n")));
  EXPECT_EQ(pool.name, "disk");
  EXPECT_EQ(pool.method, "copy");
  EXPECT_THAT(ask("POST", "/v1/pools", pool_json("disk2")), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(get(served_.socket(), "/v1/pools"), HasSubstr("\"disk2\""));
}

TEST_F(ServerTest, StreamsTheEventsOfAChangeAndThenItsResult) {
  std::string answer = ask("POST", "/v1/pools", pool_json("disk"), streamed);
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(answer, HasSubstr("Content-Type: application/x-ndjson"));
  std::size_t event = answer.find(R"({"event":{"type":"operation.done")");
  std::size_t result = answer.find(R"({"result":{"name":"disk")");
  EXPECT_NE(event, std::string::npos);
  EXPECT_NE(result, std::string::npos);
  EXPECT_LT(event, result);
}

TEST_F(ServerTest, AnswersWithAStatusWhenAStreamedChangeFailsAtOnce) {
  std::string answer = ask("POST", "/v1/pools", R"({"name":"disk","drivver":"copy"})", streamed);
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(answer, HasSubstr("driver"));
}

TEST_F(ServerTest, LeavesAnOperationRunningInTheBackground) {
  std::string answer = ask("POST", "/v1/pools?async=true", pool_json("disk"));
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 202"));
  std::size_t begin = answer.find("{\"operation\":\"") + 14;
  std::string id = answer.substr(begin, 32);
  EXPECT_TRUE(wait_until(
      [&] { return get(served_.socket(), "/v1/operations/" + id).find(R"("state":"done")") != std::string::npos; }));
  EXPECT_THAT(get(served_.socket(), "/v1/pools/disk"), StartsWith("HTTP/1.1 200"));
}

TEST_F(ServerTest, AnswersABackgroundChangeThatCanNotBeginWithItsError) {
  EXPECT_THAT(ask("POST", "/v1/pools?async=true", "{}"), StartsWith("HTTP/1.1 400"));
}

TEST_F(ServerTest, TellsEveryListenerOfEveryOperation) {
  RawClient first(served_.socket());
  RawClient second(served_.socket());
  for (RawClient* listener : {&first, &second}) {
    listener->say("GET /v1/events HTTP/1.1\r\n\r\n");
    listener->listen_until("\r\n\r\n1\r\n\n\r\n");
  }
  ask("POST", "/v1/pools", pool_json("disk"));
  for (RawClient* listener : {&first, &second}) {
    EXPECT_THAT(listener->listen_until(R"("type":"operation.done")"), HasSubstr(R"({"event":)"));
  }
}

TEST_F(ServerTest, GoesOnWhenAListenerLeaves) {
  {
    RawClient listener(served_.socket());
    listener.say("GET /v1/events HTTP/1.1\r\n\r\n");
    listener.listen_until("\n\r\n");
  }
  EXPECT_THAT(ask("POST", "/v1/pools", pool_json("disk")), StartsWith("HTTP/1.1 200"));
}

TEST_F(ServerTest, EndsTheStreamsOfItsListenersWhenItIsToldToStop) {
  RawClient listener(served_.socket());
  listener.say("GET /v1/events HTTP/1.1\r\n\r\n");
  listener.listen_until("\n\r\n");
  EXPECT_THAT(ask("POST", "/v1/daemon/stop", R"({"stop_all":true})"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(listener.listen_to_the_end(), ::testing::EndsWith("0\r\n\r\n"));
  EXPECT_TRUE(served_.stop_all_was_asked_for());
}

TEST_F(ServerTest, TakesADumpForANewProjectOnly) {
  std::string header = "Content-Type: application/vnd.pgtwig.dump\r\nPgtwig-Request: {\"name\":\"demo\"}\r\n";
  // There is no PostgreSQL to make the project with, which is found out after the request was understood.
  EXPECT_THAT(ask("POST", "/v1/projects", "SELECT 1;", header), HasSubstr("\"code\":\"not_found\""));
  EXPECT_THAT(ask("POST", "/v1/pools", "SELECT 1;", header), StartsWith("HTTP/1.1 400"));
}

TEST_F(ServerTest, FetchesImagesForTheAdministratorAlone) {
  const auto answer_to = [&](uid_t uid) {
    Request request;
    request.method = "POST";
    request.segments = {"v1", "projects"};
    request.body = R"({"name":"demo","runtime":"docker","pull":true})";
    request.peer.uid = uid;
    const Match match = find_route(request);
    engine::NobodyListens listener;
    try {
      match.route->handle({.engine = served_.engine(), .request = request, .names = match.names, .listener = listener});
    } catch (const Error& error) {
      return error.code();
    }
    return ErrorCode::internal;
  };
  EXPECT_EQ(answer_to(::geteuid() + 1), ErrorCode::not_allowed);
  // There is no engine to fetch it with, which is found out later.
  EXPECT_NE(answer_to(::geteuid()), ErrorCode::not_allowed);
}

}  // namespace
}  // namespace pgtwig::api
