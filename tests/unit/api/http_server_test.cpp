// The HTTP server by itself, against clients that behave well, badly, or not at all.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <mutex>

#include "tests/support/wait.h"
#include "tests/unit/api/raw_client.h"

namespace pgtwig::api {
namespace {

using pgtwig::support::TemporaryDirectory;
using pgtwig::support::wait_until;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class HttpServerTest : public ::testing::Test {
 protected:
  HttpServerOptions options() {
    HttpServerOptions options;
    options.place = UnixPlace{directory_ / "s", std::nullopt};
    options.spool_directory = directory_.path();
    options.admit = [](const Peer&) {};
    options.handle = [](Request& request, Responder& responder) {
      responder.send(200, "[\"" + request.method + " " + request.target + "\"]");
    };
    return options;
  }
  std::filesystem::path socket() const { return directory_ / "s"; }

  TemporaryDirectory directory_;
};

// Something that one thread waits for and another lets happen.
class Gate {
 public:
  void open() {
    std::lock_guard lock(mutex_);
    is_open_ = true;
    changed_.notify_all();
  }
  void pass() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(20), [&] { return is_open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_open_ = false;
};

TEST_F(HttpServerTest, AnswersRequestAfterRequestOnOneConnection) {
  RunningServer server(options());
  RawClient client(socket());
  // Two at once: the second lies in the buffer when the first is answered.
  client.say("GET /one HTTP/1.1\r\nHost: x\r\n\r\nGET /two HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(client.listen_until("[\"GET /one\"]\n"), HasSubstr("Pgtwig-Version: "));
  client.listen_until("[\"GET /two\"]\n");
  client.say("GET /three HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(client.listen_to_the_end(), HasSubstr("[\"GET /three\"]"));
}

TEST_F(HttpServerTest, DecodesThePathAndTheQuery) {
  auto with = options();
  Request seen;
  with.handle = [&](Request& request, Responder& responder) {
    seen = std::move(request);
    responder.send(200, "{}");
  };
  RunningServer server(std::move(with));
  get(socket(), "/v1/projects/feature%2Fnew-%C3%BC?project=a%20b&force");
  server.stop();
  EXPECT_THAT(seen.segments, ::testing::ElementsAre("v1", "projects", "feature/new-ü"));
  EXPECT_EQ(seen.query["project"], "a b");
  EXPECT_EQ(seen.query.count("force"), 1u);
}

TEST_F(HttpServerTest, TellsWhoAsks) {
  auto with = options();
  Peer seen;
  with.admit = [&](const Peer& peer) { seen = peer; };
  RunningServer server(std::move(with));
  get(socket(), "/");
  server.stop();
  EXPECT_EQ(seen.pid, ::getpid());
  EXPECT_EQ(seen.uid, ::geteuid());
  EXPECT_TRUE(seen.is_in(::getegid()));
  EXPECT_FALSE(seen.is_in(4242424));
}

TEST_F(HttpServerTest, RefusesWhoMayNotComeInBeforeReadingOn) {
  auto with = options();
  with.admit = [](const Peer&) { throw Error(ErrorCode::not_allowed, "not you"); };
  with.handle = [](Request&, Responder&) { FAIL(); };
  RunningServer server(std::move(with));
  RawClient client(socket());
  client.say("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n");
  std::string answer = client.listen_to_the_end();
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 403 "));
  EXPECT_THAT(answer, HasSubstr("not you"));
}

TEST_F(HttpServerTest, SaysWhatIsWrongWithABadRequestAndServesTheNextOne) {
  RunningServer server(options());
  struct Case {
    std::string bytes;
    std::string status;
  };
  const std::string large(1u << 20, 'x');
  const Case cases[] = {
      {"nonsense\r\n\r\n", "400"},
      {"GET nowhere HTTP/1.1\r\n\r\n", "400"},
      {"GET /%zz HTTP/1.1\r\n\r\n", "400"},
      {"GET / HTTP/1.0\r\n\r\n", "505"},
      {"GET / HTTP/1.1\r\nX: " + std::string(20'000, 'x') + "\r\n\r\n", "400"},
      {"POST / HTTP/1.1\r\nContent-Length: 1048577\r\n\r\n", "413"},
      {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n100001\r\n" + large + "x\r\n0\r\n\r\n", "413"},
  };
  for (const Case& bad : cases) {
    RawClient client(socket());
    client.say(bad.bytes);
    std::string answer = client.listen_to_the_end();
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 " + bad.status)) << bad.bytes.substr(0, 60);
    EXPECT_THAT(answer, HasSubstr("\"error\"")) << bad.bytes.substr(0, 60);
  }
  EXPECT_THAT(get(socket(), "/"), StartsWith("HTTP/1.1 200"));
}

TEST_F(HttpServerTest, TakesABodyOfJustTheLimit) {
  auto with = options();
  std::atomic<std::size_t> size = 0;
  with.handle = [&](Request& request, Responder& responder) {
    size = request.body.size();
    responder.send(200, "{}");
  };
  RunningServer server(std::move(with));
  RawClient client(socket());
  client.say("POST / HTTP/1.1\r\nConnection: close\r\nContent-Length: 1048576\r\n\r\n" + std::string(1u << 20, 'x'));
  EXPECT_THAT(client.listen_to_the_end(), StartsWith("HTTP/1.1 200"));
  EXPECT_EQ(size, 1u << 20);
}

TEST_F(HttpServerTest, LetsGoOfAClientThatStopsInTheMiddle) {
  auto with = options();
  with.patience = {.idle = std::chrono::milliseconds(50),
                   .request = std::chrono::milliseconds(50),
                   .transfer = std::chrono::milliseconds(50)};
  with.max_connections = 1;
  RunningServer server(std::move(with));
  for (const char* beginning : {"", "GET / HT", "POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nfive!"}) {
    RawClient silent(socket());
    silent.say(beginning);
    // There is one place only: the answer comes when the silent one has lost it.
    EXPECT_THAT(get(socket(), "/"), StartsWith("HTTP/1.1 200")) << beginning;
  }
}

TEST_F(HttpServerTest, DoesNothingForARequestThatWasCutOff) {
  auto with = options();
  std::atomic<int> handled = 0;
  with.handle = [&](Request&, Responder& responder) {
    ++handled;
    responder.send(200, "{}");
  };
  RunningServer server(std::move(with));
  const std::string upload = "POST / HTTP/1.1\r\nContent-Type: " + std::string(upload_content_type) +
                             "\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
  for (const std::string& request : {std::string("POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nfive!"), upload}) {
    RawClient client(socket());
    client.say(request);
    client.say_no_more();
    client.listen_to_the_end();
  }
  EXPECT_EQ(handled, 0);
}

TEST_F(HttpServerTest, SpoolsAnUploadIntoAFileWithoutAName) {
  auto with = options();
  std::string content;
  std::string description;
  nlink_t links = 1;
  with.handle = [&](Request& request, Responder& responder) {
    description = request.described_by;
    struct stat status{};
    fstat(request.upload.get(), &status);
    links = status.st_nlink;
    content.resize(static_cast<std::size_t>(status.st_size));
    ASSERT_EQ(::read(request.upload.get(), content.data(), content.size()), status.st_size);
    responder.send(200, "{}");
  };
  RunningServer server(std::move(with));
  RawClient client(socket());
  std::string piece(300'000, 'p');
  client.say("POST / HTTP/1.1\r\nConnection: close\r\nPgtwig-Request: {\"name\":\"demo\"}\r\nContent-Type: " +
             std::string(upload_content_type) + "\r\nTransfer-Encoding: chunked\r\n\r\n");
  // More than any JSON may have.
  for (int i = 0; i < 10; ++i) client.say("493e0\r\n" + piece + "\r\n");
  client.say("0\r\n\r\n");
  EXPECT_THAT(client.listen_to_the_end(), StartsWith("HTTP/1.1 200"));
  server.stop();
  EXPECT_EQ(content.size(), 3'000'000u);
  EXPECT_EQ(content.find_first_not_of('p'), std::string::npos);
  EXPECT_EQ(description, "{\"name\":\"demo\"}");
  EXPECT_EQ(links, 0u);
}

// A file system of 64 KiB, gone with the object.
class TinyFileSystem {
 public:
  explicit TinyFileSystem(const std::filesystem::path& path) : path_(path) {
    std::filesystem::create_directory(path_);
    is_mounted_ = ::mount("tmpfs", path_.c_str(), "tmpfs", 0, "size=64k") == 0;
  }
  ~TinyFileSystem() {
    if (is_mounted_) ::umount2(path_.c_str(), MNT_DETACH);
  }
  bool is_mounted() const { return is_mounted_; }

 private:
  std::filesystem::path path_;
  bool is_mounted_;
};

TEST_F(HttpServerTest, SaysThatTheDiskIsFullInTheMiddleOfAnUpload) {
  auto with = options();
  with.spool_directory = directory_ / "tiny";
  with.handle = [](Request&, Responder&) { FAIL(); };
  TinyFileSystem tiny(*with.spool_directory);
  if (!tiny.is_mounted()) GTEST_SKIP() << "only root may mount";
  RunningServer server(std::move(with));
  RawClient client(socket());
  client.say("POST / HTTP/1.1\r\nContent-Length: 3000000\r\nContent-Type: " + std::string(upload_content_type) +
             "\r\n\r\n" + std::string(3'000'000, 'x'));
  std::string answer = client.listen_to_the_end();
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 507"));
  EXPECT_THAT(answer, HasSubstr("no_space"));
}

TEST_F(HttpServerTest, StreamsLinesAsTheyCome) {
  auto with = options();
  Gate first_was_read;
  with.handle = [&](Request&, Responder& responder) {
    responder.send_line("{\"event\":1}\n");
    first_was_read.pass();
    responder.send_line("{\"result\":2}\n");
  };
  RunningServer server(std::move(with));
  RawClient client(socket());
  client.say("GET / HTTP/1.1\r\n\r\n");
  EXPECT_THAT(client.listen_until("{\"event\":1}\n"), HasSubstr("application/x-ndjson"));
  first_was_read.open();
  EXPECT_THAT(client.listen_until("0\r\n\r\n"), HasSubstr("{\"result\":2}\n"));
}

TEST_F(HttpServerTest, FinishesARequestWhoseClientIsGone) {
  auto with = options();
  Gate client_is_gone;
  std::atomic<bool> reached_the_end = false;
  with.handle = [&](Request&, Responder& responder) {
    responder.send_line("{\"event\":1}\n");
    client_is_gone.pass();
    for (int i = 0; i < 100; ++i) responder.send_line("{\"event\":2}\n");
    EXPECT_FALSE(responder.send_line("{\"result\":3}\n"));
    reached_the_end = true;
  };
  RunningServer server(std::move(with));
  {
    RawClient client(socket());
    client.say("GET / HTTP/1.1\r\n\r\n");
    client.listen_until("{\"event\":1}");
  }
  client_is_gone.open();
  EXPECT_TRUE(wait_until([&] { return reached_the_end.load(); }));
}

TEST_F(HttpServerTest, DoesNotWaitLongForAClientThatDoesNotRead) {
  auto with = options();
  with.patience.line = std::chrono::milliseconds(50);
  std::atomic<bool> gave_up = false;
  with.handle = [&](Request&, Responder& responder) {
    const std::string line(100'000, 'x');
    for (int i = 0; i < 1000 && !gave_up; ++i) gave_up = !responder.send_line(line);
  };
  RunningServer server(std::move(with));
  RawClient client(socket());
  client.say("GET / HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(wait_until([&] { return gave_up.load(); }));
}

TEST_F(HttpServerTest, AnswersAHandlersFailureAsAnError) {
  auto with = options();
  with.handle = [](Request&, Responder&) { throw std::runtime_error("the handler broke"); };
  RunningServer server(std::move(with));
  std::string answer = get(socket(), "/");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 500"));
  EXPECT_THAT(answer, HasSubstr("the handler broke"));
}

TEST_F(HttpServerTest, FinishesWhatIsUnderWayWhenItStops) {
  auto with = options();
  Gate is_handling;
  Gate may_finish;
  with.handle = [&](Request&, Responder& responder) {
    is_handling.open();
    may_finish.pass();
    responder.send(200, "[\"finished\"]");
  };
  RunningServer server(std::move(with));
  RawClient idle(socket());
  RawClient client(socket());
  client.say("GET / HTTP/1.1\r\n\r\n");
  is_handling.pass();
  server.server().stop();
  EXPECT_TRUE(wait_until([&] { return !std::filesystem::exists(socket()); }));
  may_finish.open();
  EXPECT_THAT(client.listen_to_the_end(), HasSubstr("[\"finished\"]"));
  EXPECT_EQ(idle.listen_to_the_end(), "");
  server.stop();
}

TEST_F(HttpServerTest, CutsOffWhatIsNotWholeWhenItStops) {
  auto with = options();
  std::atomic<int> handled = 0;
  with.handle = [&](Request&, Responder&) { ++handled; };
  const std::string go_on = "\r\nExpect: 100-continue\r\n\r\n";
  for (const std::string& head : {"Content-Length: 100" + go_on, "Transfer-Encoding: chunked\r\nContent-Type: " +
                                                                     std::string(upload_content_type) + go_on}) {
    RunningServer server(with);
    RawClient client(socket());
    client.say("POST / HTTP/1.1\r\n" + head);
    EXPECT_THAT(client.listen_until("\r\n\r\n"), StartsWith("HTTP/1.1 100"));
    client.say("5\r\nhello\r\n");
    server.server().stop();
    const std::string answer = client.listen_to_the_end();
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 503")) << head;
    EXPECT_THAT(answer, HasSubstr("the daemon was stopped")) << head;
  }
  EXPECT_EQ(handled, 0);
}

TEST_F(HttpServerTest, GivesAClientItsTimeForAnAnswerAndNoMore) {
  auto with = options();
  with.patience.answer = std::chrono::milliseconds(500);
  const std::size_t size = 32u << 20;
  with.handle = [&](Request&, Responder& responder) { responder.send(200, std::string(size, 'x')); };
  RunningServer server(std::move(with));
  RawClient client(socket());
  client.say("GET / HTTP/1.1\r\n\r\n");
  // It never stops reading for long.
  std::size_t heard = 0;
  EXPECT_TRUE(wait_until([&] {
    const std::size_t more = client.listen_to_a_piece(16u << 10).size();
    heard += more;
    return more == 0;
  }));
  EXPECT_LT(heard, size);
}

TEST_F(HttpServerTest, ServesManyClientsAtOnce) {
  auto with = options();
  with.max_connections = 8;
  RunningServer server(std::move(with));
  std::atomic<int> answered = 0;
  std::vector<std::thread> clients;
  for (int i = 0; i < 16; ++i) {
    clients.emplace_back([&] {
      for (int request = 0; request < 20; ++request) {
        if (get(socket(), "/").starts_with("HTTP/1.1 200")) ++answered;
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(answered, 16 * 20);
}

TEST_F(HttpServerTest, IsPrivateUnlessItHasAGroup) {
  struct stat status{};
  {
    HttpServer server(options());
    stat(socket().c_str(), &status);
    EXPECT_EQ(status.st_mode & 0777, 0600u);
  }
  auto with = options();
  with.place = UnixPlace{socket(), ::getegid()};
  HttpServer server(std::move(with));
  stat(socket().c_str(), &status);
  EXPECT_EQ(status.st_mode & 0777, 0660u);
  EXPECT_EQ(status.st_gid, ::getegid());
}

TEST_F(HttpServerTest, RefusesASocketThatSomebodyListensOn) {
  HttpServer server(options());
  try {
    HttpServer second(options());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::conflict);
  }
}

TEST_F(HttpServerTest, TakesOverTheSocketOfADeadServer) {
  {
    HttpServer dead(options());
  }
  ASSERT_TRUE(std::filesystem::exists(socket()));
  RunningServer server(options());
  EXPECT_THAT(get(socket(), "/"), StartsWith("HTTP/1.1 200"));
}

}  // namespace
}  // namespace pgtwig::api
