// The client against a real server, and against daemons that don't start, end too early or refuse.
#include "client/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/json.h"
#include "tests/support/errors.h"
#include "tests/unit/api/raw_client.h"
#include "tests/unit/api/served_engine.h"

namespace pgtwig::client {
namespace {

using api::RunningServer;
using api::ServedEngine;
using pgtwig::support::error_of;
using pgtwig::support::TemporaryDirectory;
using ::testing::HasSubstr;

Client connect(const Paths& paths) {
  return Client({.paths = paths, .start_daemon = false, .executable = {}, .on_notice = {}});
}

UniqueFd file_of(std::size_t size) {
  UniqueFd fd(::memfd_create("dump", MFD_CLOEXEC));
  std::string content(size, 'd');
  EXPECT_EQ(::pwrite(fd.get(), content.data(), content.size(), 0), static_cast<ssize_t>(size));
  return fd;
}

TEST(Client, AsksAndIsAnswered) {
  ServedEngine served;
  Client client = connect(served.paths());
  EXPECT_TRUE(client.is_daemon_running());
  EXPECT_EQ(client.request("GET", "/v1/pools"), R"({"pools":[]})");
  EXPECT_EQ(client.daemon_version(), PGTWIG_VERSION);
}

TEST(Client, ThrowsTheErrorThatTheDaemonAnswered) {
  ServedEngine served;
  Client client = connect(served.paths());
  Error error = error_of([&] { client.request("GET", "/v1/projects/nowhere"); });
  EXPECT_EQ(error.code(), ErrorCode::not_found);
  EXPECT_THAT(error.message(), HasSubstr("nowhere"));
  error = error_of([&] { client.request_with_events("POST", "/v1/pools", R"({"nam":"x"})", {}); });
  EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
}

TEST(Client, HearsEventsBeforeTheResult) {
  ServedEngine served;
  Client client = connect(served.paths());
  std::filesystem::create_directory(served.directory() / "disk");
  std::vector<std::string> types;
  std::string result = client.request_with_events(
      "POST", "/v1/pools",
      R"({"name":"disk","driver":"copy","directory":")" + (served.directory() / "disk").string() + "\"}",
      [&](const engine::Event& event) { types.push_back(event.type); });
  EXPECT_EQ(api::from_json<engine::PoolView>(result).name, "disk");
  ASSERT_FALSE(types.empty());
  EXPECT_EQ(types.back(), "operation.done");
}

TEST(Client, SaysThatNobodyAnswers) {
  TemporaryDirectory directory;
  Client client = connect(find_paths({{"PGTWIG_ROOT", directory.path().string()}}, false));
  EXPECT_FALSE(client.is_daemon_running());
  Error error = error_of([&] { client.request("GET", "/v1/pools"); });
  EXPECT_EQ(error.code(), ErrorCode::daemon_unavailable);
  EXPECT_THAT(error.hint(), HasSubstr("pgtwig daemon start"));
}

TEST(Client, RepeatsWhatADaemonThatFailsToStartSaid) {
  TemporaryDirectory directory;
  std::filesystem::path program = directory / "pgtwig";
  write_file(program,
             "#!/bin/sh\n"
             "[ \"$1 $2\" = 'daemon run' ] && echo 'error: no disk for you' >&2 && echo 'hint: buy one' >&2\n"
             "exit 2\n",
             0755);
  Client client({.paths = find_paths({{"PGTWIG_ROOT", (directory / "root").string()}}, false),
                 .start_daemon = true,
                 .executable = program,
                 .on_notice = {}});
  Error error = error_of([&] { client.request("GET", "/v1/pools"); });
  EXPECT_EQ(error.code(), ErrorCode::daemon_unavailable);
  EXPECT_THAT(error.message(), HasSubstr("no disk for you"));
  EXPECT_EQ(error.hint(), "buy one");
}

TEST(Client, SaysThatTheProgramOfTheDaemonIsMissing) {
  TemporaryDirectory directory;
  Client client({.paths = find_paths({{"PGTWIG_ROOT", (directory / "root").string()}}, false),
                 .start_daemon = true,
                 .executable = directory / "nothing",
                 .on_notice = {}});
  EXPECT_THAT(error_of([&] { client.request("GET", "/v1/pools"); }).message(), HasSubstr("cannot be executed"));
}

TEST(Client, KeepsOnlyTheSegmentsPlainCharacters) {
  EXPECT_EQ(encode_segment("demo-1_2.3~"), "demo-1_2.3~");
  EXPECT_EQ(encode_segment("feature/ü ?#%"), "feature%2F%C3%BC%20%3F%23%25");
}

// A server whose answers the test decides.
class ScriptedServer : public ::testing::Test {
 protected:
  ScriptedServer() : paths_(find_paths({{"PGTWIG_ROOT", directory_.path().string()}}, false)) {
    make_directories(paths_.run);
  }
  api::HttpServerOptions options(std::function<void(api::Request&, api::Responder&)> handle) {
    return {.place = api::UnixPlace{paths_.socket, std::nullopt},
            .spool_directory = directory_.path(),
            .admit = [](const api::Peer&) {},
            .handle = std::move(handle)};
  }
  TemporaryDirectory directory_;
  Paths paths_;
};

TEST_F(ScriptedServer, GetsAWholeDumpAndItsDescription) {
  off_t size = 0;
  std::string description;
  RunningServer server(options([&](api::Request& request, api::Responder& responder) {
    struct stat status{};
    ::fstat(request.upload.get(), &status);
    size = status.st_size;
    description = request.described_by;
    responder.send_line("{\"result\":{\"name\":\"demo\"}}\n");
  }));
  UniqueFd dump = file_of(5'000'001);
  Client client = connect(paths_);
  EXPECT_EQ(client.upload_with_events("/v1/projects", R"({"name":"demo"})", dump.get(), {}), R"({"name":"demo"})");
  server.stop();
  EXPECT_EQ(size, 5'000'001);
  EXPECT_EQ(description, R"({"name":"demo"})");
}

TEST_F(ScriptedServer, IsHeardWhenItRefusesALongDumpAtOnce) {
  auto with = options([](api::Request&, api::Responder&) { FAIL(); });
  with.admit = [](const api::Peer&) { throw Error(ErrorCode::not_allowed, "not you"); };
  RunningServer server(std::move(with));
  UniqueFd dump = file_of(50'000'000);
  Client client = connect(paths_);
  Error error = error_of([&] { client.upload_with_events("/v1/projects", "{}", dump.get(), {}); });
  EXPECT_EQ(error.code(), ErrorCode::not_allowed);
}

TEST_F(ScriptedServer, IsHeardWhenItsChangeFailsAfterSomeEvents) {
  RunningServer server(options([](api::Request&, api::Responder& responder) {
    responder.send_line(
        api::event_line({"step.begun", "1", "branch create", "demo/dev", "Checkpoint", 0, TimePoint()}));
    responder.send_line(api::to_json(Error(ErrorCode::no_space, "full", "free some")) + "\n");
  }));
  int events = 0;
  Client client = connect(paths_);
  Error error =
      error_of([&] { client.request_with_events("POST", "/x", "{}", [&](const engine::Event&) { ++events; }); });
  EXPECT_EQ(error.code(), ErrorCode::no_space);
  EXPECT_EQ(error.hint(), "free some");
  EXPECT_EQ(events, 1);
}

TEST_F(ScriptedServer, ThatEndsInTheMiddleIsNotTakenForDone) {
  RunningServer server(options([](api::Request&, api::Responder& responder) {
    responder.send_line(
        api::event_line({"step.begun", "1", "branch create", "demo/dev", "Checkpoint", 0, TimePoint()}));
  }));
  Client client = connect(paths_);
  Error error = error_of([&] { client.request_with_events("POST", "/x", "{}", {}); });
  EXPECT_EQ(error.code(), ErrorCode::daemon_unavailable);
  EXPECT_THAT(error.hint(), HasSubstr("operation list"));
}

}  // namespace
}  // namespace pgtwig::client
