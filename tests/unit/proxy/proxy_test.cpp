// The endpoint between clients that behave well, badly or not at all, and instances that a test writes.
#include "proxy/proxy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <openssl/ssl.h>
#include <sys/resource.h>

#include <condition_variable>
#include <random>

#include "proxy/wire/messages.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/wait.h"
#include "tests/unit/proxy/scripted_instance.h"

namespace pgtwig::proxy {
namespace {

using namespace pgtwig::proxy::support;
using pgtwig::support::TemporaryDirectory;
using pgtwig::support::wait_until;
using std::chrono::milliseconds;
using ::testing::EndsWith;
using ::testing::HasSubstr;

BranchPath path(const std::string& project, const std::string& branch) {
  return {*ProjectName::parse(project), *BranchName::parse(branch)};
}

// One instance behind every branch.
class FakeDirectory final : public BranchDirectory {
 public:
  BranchAddress find(const std::optional<BranchChoice>& choice) override {
    const BranchPath found = choice ? path("demo", choice->branch.text()) : path("demo", "main");
    if (found.branch.text() == "missing")
      throw Error(ErrorCode::not_found, "branch demo/missing does not exist", "look");
    const std::lock_guard lock(mutex_);
    return {.path = found, .host = "127.0.0.1", .port = port, .is_running = !sleeps_};
  }
  BranchAddress wake(const BranchPath& branch, const std::function<void(const BranchAddress&)>& let_in) override {
    const BranchAddress address{.path = branch, .host = "127.0.0.1", .port = port, .is_running = true};
    std::unique_lock lock(mutex_);
    if (!sleeps_) return address;  // who asked had looked it up just before a wake ended
    ++wakes_;
    if (listens_early_) {
      sleeps_ = false;
      lock.unlock();
      let_in(address);
      lock.lock();
    }
    changed_.wait_for(lock, milliseconds(patience_ms), [&] { return may_wake_; });
    ++wakes_that_ended_;
    sleeps_ = fails_;
    if (fails_) throw Error(ErrorCode::postgres_failed, "PostgreSQL did not start: FATAL: no space", "make some");
    return address;
  }

  void fall_asleep(bool fails = false) {
    const std::lock_guard lock(mutex_);
    sleeps_ = true;
    may_wake_ = false;
    fails_ = fails;
  }
  // The next wakes let clients in before they are over.
  void listen_early() {
    const std::lock_guard lock(mutex_);
    listens_early_ = true;
  }
  void let_wake() {
    const std::lock_guard lock(mutex_);
    may_wake_ = true;
    changed_.notify_all();
  }
  int wakes() {
    const std::lock_guard lock(mutex_);
    return wakes_;
  }
  int wakes_that_ended() {
    const std::lock_guard lock(mutex_);
    return wakes_that_ended_;
  }

  std::uint16_t port = 0;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool sleeps_ = false;
  bool may_wake_ = false;
  bool fails_ = false;
  bool listens_early_ = false;
  int wakes_ = 0;
  int wakes_that_ended_ = 0;
};

class ProxyTest : public ::testing::Test {
 protected:
  // What an instance does unless a test says otherwise: lets everybody in, says whose branch it was asked for, echoes.
  static void echo(Peer& client) {
    const std::string packet = client.read_start_up();
    if (packet.size() < wire::head_size) return;
    if (wire::parse_head(packet.substr(0, wire::head_size))->kind != wire::FirstPacketKind::start_up) return;
    client.send(welcome());
    for (std::string bytes = client.read(1); !bytes.empty(); bytes = client.read(1)) client.send(bytes);
  }

  ProxyTest() { options.loops = 2; }

  void serve(ScriptedInstance::Script script = echo) {
    instance = std::make_unique<ScriptedInstance>(std::move(script));
    directory.port = instance->port();
    options.tls.directory = folder / "endpoint";
    options.refused_roles = {"pgtwig_admin"};
    proxy = std::make_unique<Proxy>(directory, metrics, options);
  }

  Peer client() { return Peer::connect(proxy->port()); }
  static std::string start_up(const std::string& user = "ann", const std::string& database = "app@dev") {
    return wire::write_start_up({.parameters = {{"user", user}, {"database", database}}});
  }
  // A client that was let in, and its cancel key.
  Peer session(wire::CancelKey* key = nullptr) {
    Peer peer = client();
    EXPECT_TRUE(peer.send(start_up()));
    const std::string heard = peer.read(welcome().size());
    EXPECT_EQ(heard.size(), welcome().size());
    EXPECT_TRUE(heard.ends_with(message('Z', "I")));
    if (key && heard.size() == welcome().size()) *key = {wire::read_u32(heard, 14), heard.substr(18, 4)};
    return peer;
  }
  // An instance that welcomes with `words` and notes the cancels that it is sent.
  void serve_and_note_cancels(const std::string& words) {
    serve([this, words](Peer& peer) {
      const std::string packet = peer.read_start_up();
      if (wire::parse_head(packet.substr(0, wire::head_size))->kind == wire::FirstPacketKind::cancel_request) {
        const std::lock_guard lock(cancels_mutex);
        cancelled.push_back(*wire::parse_cancel_request(packet));
        return;
      }
      peer.send(words);
      peer.read_all();
    });
  }
  std::string answer_to(std::string_view bytes) {
    Peer peer = client();
    peer.send(bytes);
    return peer.read_all();
  }

  TemporaryDirectory folder;
  FakeDirectory directory;
  Metrics metrics;
  ProxyOptions options;
  std::mutex cancels_mutex;
  std::vector<wire::CancelKey> cancelled;  // see serve_and_note_cancels()
  std::unique_ptr<ScriptedInstance> instance;
  std::unique_ptr<Proxy> proxy;  // first to go, so that the instance's threads see their clients leave
};

TEST_F(ProxyTest, PassesASessionBothWaysAndCountsIt) {
  std::mutex mutex;
  std::string asked;
  serve([&](Peer& peer) {
    const std::string packet = peer.read_start_up();
    {
      const std::lock_guard lock(mutex);
      asked = packet;
    }
    peer.send(welcome());
    peer.send(peer.read(5));
    peer.read_all();
  });
  Peer peer = session();
  EXPECT_TRUE(peer.send("hello"));
  EXPECT_EQ(peer.read(5), "hello");
  {
    const std::lock_guard lock(mutex);
    const auto seen = wire::parse_start_up(asked);
    ASSERT_TRUE(seen);
    EXPECT_EQ(*seen->find("database"), "app");
    EXPECT_EQ(*seen->find("pgtwig.branch"), "demo/dev");
  }
  EXPECT_EQ(proxy->figures().open_sessions.at(path("demo", "dev")), 1u);
  peer.close();
  EXPECT_TRUE(wait_until([&] { return proxy->figures().open_sessions.empty() && proxy->figures().connections == 0; }));
}

TEST_F(ProxyTest, RefusesWhatIsNoStartUp) {
  serve();
  EXPECT_THAT(answer_to("GET / HTTP/1.1\r\n\r\n"), HasSubstr("08P01"));
  EXPECT_THAT(answer_to(number(20'000) + number(196'608)), HasSubstr("08P01"));
  EXPECT_THAT(answer_to(number(9) + number(196'608) + "x"), HasSubstr("08P01"));
  EXPECT_THAT(answer_to(number(8) + number(131'072)), HasSubstr("0A000"));
  EXPECT_THAT(answer_to(start_up("ann", "app@missing")), HasSubstr("demo/missing does not exist"));
  EXPECT_THAT(answer_to(start_up("pgtwig_admin")), HasSubstr("42501"));
  EXPECT_EQ(answer_to(number(8) + number(80877104) + number(8) + number(80877104)).substr(0, 1), "N");
  EXPECT_EQ(instance->connections(), 0);
}

TEST_F(ProxyTest, OutlivesAnyBytes) {
  options.limits.hello = milliseconds(100);
  serve();
  std::mt19937 random(7);
  for (int count = 0; count < 200; ++count) {
    std::string bytes(random() % 300, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    // Half of them begin as a start-up or as TLS.
    if (count % 4 == 0 && bytes.size() > 8)
      bytes.replace(0, 8, number(static_cast<std::uint32_t>(bytes.size())) + number(196'608));
    if (count % 4 == 1) bytes = "\x16\x03\x01" + bytes;
    client().send(bytes);
  }
  EXPECT_TRUE(wait_until([&] { return proxy->figures().connections == 0; }));
  session();
}

TEST_F(ProxyTest, GivesASilentAndASlowClientTheirTimeAndNoMore) {
  options.limits.hello = milliseconds(300);
  serve();
  Peer silent = client();
  Peer slow = client();
  EXPECT_THAT(silent.read_all(), HasSubstr("08P01"));
  // Each byte comes in time, all of them don't.
  const std::string packet = start_up();
  bool was_cut_off = false;
  for (std::size_t at = 0; at < packet.size() && !was_cut_off; ++at) {
    slow.send(packet.substr(at, 1));
    pollfd entry{slow.fd(), POLLIN, 0};
    was_cut_off = ::poll(&entry, 1, 50) == 1;
  }
  EXPECT_TRUE(was_cut_off);
}

TEST_F(ProxyTest, TakesAsManyAsItMayAndSaysSo) {
  options.limits.connections = 2;
  serve();
  Peer one = session();
  const Peer two = session();
  EXPECT_THAT(client().read_all(), HasSubstr("53300"));
  one.close();
  EXPECT_TRUE(wait_until([&] { return proxy->figures().connections == 1; }));
  session();
}

TEST_F(ProxyTest, WakesABranchOnceForAllWhoWait) {
  serve();
  directory.fall_asleep();
  std::vector<Peer> waiting;
  for (int count = 0; count < 50; ++count) {
    waiting.push_back(client());
    waiting.back().send(start_up());
  }
  EXPECT_TRUE(wait_until([&] { return directory.wakes() == 1 && proxy->figures().connections == 50; }));
  directory.let_wake();
  for (Peer& peer : waiting) EXPECT_THAT(peer.read(welcome().size()), EndsWith(message('Z', "I")));
  EXPECT_EQ(directory.wakes(), 1);
}

TEST_F(ProxyTest, LetsClientsInAsSoonAsTheInstanceListens) {
  serve();
  directory.fall_asleep();
  directory.listen_early();
  const Peer first = session();
  const Peer second = session();
  EXPECT_EQ(directory.wakes(), 1);
  EXPECT_EQ(directory.wakes_that_ended(), 0);
  directory.let_wake();
  EXPECT_TRUE(wait_until([&] { return directory.wakes_that_ended() == 1; }));
  session();
  EXPECT_EQ(directory.wakes(), 1);
}

TEST_F(ProxyTest, WakesABranchAgainWhoseWakeFailedAfterAll) {
  serve();
  directory.fall_asleep(true);
  directory.listen_early();
  const Peer first = session();
  directory.let_wake();
  EXPECT_TRUE(wait_until([&] { return directory.wakes_that_ended() == 1; }));
  const Peer second = session();
  EXPECT_EQ(directory.wakes(), 2);
}

TEST_F(ProxyTest, TellsWhyABranchDidNotWake) {
  serve();
  directory.fall_asleep(true);
  directory.let_wake();
  const std::string answer = answer_to(start_up());
  EXPECT_THAT(answer, HasSubstr("FATAL: no space"));
  EXPECT_THAT(answer, HasSubstr("Hmake some"));
  EXPECT_THAT(answer, HasSubstr("Dconnection 1 from 127.0.0.1"));
}

TEST_F(ProxyTest, GivesUpOnABranchThatWakesForTooLong) {
  options.limits.find = milliseconds(200);
  serve();
  directory.fall_asleep();
  EXPECT_THAT(answer_to(start_up()), HasSubstr("57014"));
  directory.let_wake();
}

// Clients that woke their branch and weren't let in, each in its own way; who comes next from there waits.
class Distrust : public ProxyTest {
 protected:
  Distrust() {
    options.loops = 1;  // what is told it first is done first
    directory.fall_asleep();
  }
  void expect_a_wait_since(std::chrono::steady_clock::time_point moment) {
    directory.fall_asleep();
    directory.let_wake();
    session();
    EXPECT_GE(std::chrono::steady_clock::now() - moment, WakeLimits::first_delay);
    EXPECT_EQ(directory.wakes(), 2);
  }
};

TEST_F(Distrust, IsOfWhoHangsUpWhileItsBranchWakes) {
  std::atomic<bool> is_first = true;
  serve([&](Peer& peer) {
    if (!is_first.exchange(false)) return echo(peer);
    peer.read_start_up();
    peer.send(wire::error_response({.sqlstate = "53300", .message = "too many clients"}));
  });
  Peer impatient = client();
  impatient.send(start_up());
  ASSERT_TRUE(wait_until([&] { return directory.wakes() == 1; }));
  Peer patient = client();
  patient.send(start_up());
  ASSERT_TRUE(wait_until([&] { return proxy->figures().connections == 2; }));
  impatient.close();
  ASSERT_TRUE(wait_until([&] { return proxy->figures().connections == 1; }));
  const auto moment = std::chrono::steady_clock::now();
  directory.let_wake();
  // Answered after the other one; no reason to distrust it.
  EXPECT_THAT(patient.read_all(), HasSubstr("53300"));
  expect_a_wait_since(moment);
}

TEST_F(Distrust, IsOfWhoHangsUpBeforeItsInstanceHasSaidAWord) {
  std::atomic<bool> is_first = true;
  std::atomic<bool> was_asked = false;
  serve([&](Peer& peer) {
    if (!is_first.exchange(false)) return echo(peer);
    peer.read_start_up();
    was_asked = true;
    peer.read_all();
  });
  directory.let_wake();
  Peer peer = client();
  peer.send(start_up());
  ASSERT_TRUE(wait_until([&] { return was_asked.load(); }));
  const auto moment = std::chrono::steady_clock::now();
  peer.close();
  ASSERT_TRUE(wait_until([&] { return proxy->figures().connections == 0; }));
  expect_a_wait_since(moment);
}

TEST_F(Distrust, IsOfWhoIsTurnedAwayWithTheFirstWord) {
  std::atomic<bool> is_first = true;
  serve([&](Peer& peer) {
    if (!is_first.exchange(false)) return echo(peer);
    peer.read_start_up();
    peer.send(wire::error_response({.sqlstate = "28000", .message = "no pg_hba.conf entry"}));
  });
  directory.let_wake();
  const auto moment = std::chrono::steady_clock::now();
  EXPECT_THAT(answer_to(start_up()), HasSubstr("no pg_hba.conf entry"));
  expect_a_wait_since(moment);
}

TEST_F(ProxyTest, AsksAgainWhereAnInstanceCanTakeNobodyYet) {
  std::atomic<int> refusals = 3;
  serve([&](Peer& peer) {
    peer.read_start_up();
    if (refusals-- > 0) {
      peer.send(wire::error_response({.sqlstate = "57P03", .message = "the database system is starting up"}));
      return;
    }
    peer.send(welcome());
    peer.read_all();
  });
  session();
  EXPECT_EQ(instance->connections(), 4);
}

TEST_F(ProxyTest, PassesAnInstancesLastWordsOn) {
  const std::string refusal = wire::error_response({.sqlstate = "28P01", .message = "wrong password"});
  serve([refusal](Peer& peer) {
    peer.read_start_up();
    peer.send(message('R', number(3)));
    peer.read(5);
    peer.send(refusal);
  });
  Peer peer = client();
  peer.send(start_up());
  EXPECT_EQ(peer.read(9), message('R', number(3)));
  peer.send("pass?");
  EXPECT_EQ(peer.read_all(), refusal);
}

TEST_F(ProxyTest, PassesTheEndOfOneDirectionAlone) {
  serve([](Peer& peer) {
    peer.read_start_up();
    peer.send(welcome());
    const std::string all = peer.read_all();  // up to the client's end
    peer.send("heard " + all);
  });
  Peer peer = session();
  peer.send("everything");
  peer.end_writing();
  EXPECT_EQ(peer.read_all(), "heard everything");
  EXPECT_EQ(peer.last_error(), 0);
}

TEST_F(ProxyTest, PassesABrokenConnectionOnAsBroken) {
  std::atomic<int> error = -1;
  serve([&](Peer& peer) {
    peer.read_start_up();
    peer.send(welcome());
    peer.read_all();
    error = peer.last_error();
  });
  Peer peer = session();
  peer.reset();
  EXPECT_TRUE(wait_until([&] { return error != -1; }));
  EXPECT_EQ(error, ECONNRESET);
}

TEST_F(ProxyTest, TakesNoMoreFromAnInstanceThanItsClientReads) {
  constexpr std::size_t whole = 256u << 20;
  constexpr std::size_t chunk_size = 64u << 10;
  std::atomic<std::size_t> sent = 0;
  options.loops = 1;
  serve([&](Peer& peer) {
    const auto asked = wire::parse_start_up(peer.read_start_up());
    peer.send(welcome());
    if (*asked->find("user") == "bystander") {
      for (std::string bytes = peer.read(1); !bytes.empty(); bytes = peer.read(1)) peer.send(bytes);
      return;
    }
    std::string chunk(chunk_size, '\0');
    for (std::size_t at = 0; at < whole; at += chunk.size()) {
      std::fill(chunk.begin(), chunk.end(), static_cast<char>(at >> 20));
      if (!peer.send(chunk)) return;
      sent += chunk.size();
    }
  });
  Peer bystander = client();
  bystander.send(start_up("bystander"));
  bystander.read(welcome().size());
  Peer peer = session();
  // Until nothing moves any more, though the endpoint's loop goes round: with what the sockets of this machine hold,
  // and the endpoint's one buffer.
  constexpr int quiet_rounds = 50;
  std::size_t before = 0;
  int quiet = 0;
  EXPECT_TRUE(wait_until([&] {
    bystander.send("x");
    EXPECT_EQ(bystander.read(1), "x");
    quiet = std::exchange(before, sent) == sent && sent > 0 ? quiet + 1 : 0;
    return quiet == quiet_rounds;
  }));
  EXPECT_LT(sent, whole / 4);
  for (std::size_t at = 0; at < whole; at += chunk_size) {
    const std::string chunk = peer.read(chunk_size);
    ASSERT_EQ(chunk.size(), chunk_size);
    ASSERT_EQ(chunk.find_first_not_of(static_cast<char>(at >> 20)), chunk.npos);
  }
  EXPECT_EQ(peer.read_all(), "");
}

TEST_F(ProxyTest, LeadsACancelToItsInstanceByKeysOfItsOwn) {
  options.limits.wrong_cancel = milliseconds(50);
  serve_and_note_cancels(welcome());
  wire::CancelKey key;
  Peer peer = session(&key);
  EXPECT_EQ(key.process, real_key.process);
  EXPECT_NE(key.secret, real_key.secret);
  EXPECT_EQ(answer_to(wire::write_cancel_request(real_key)), "");
  EXPECT_EQ(answer_to(wire::write_cancel_request(key)), "");
  {
    const std::lock_guard lock(cancels_mutex);
    EXPECT_EQ(cancelled, std::vector{real_key});
  }
  // A key is as good as its session.
  peer.close();
  EXPECT_TRUE(wait_until([&] { return proxy->figures().connections == 0; }));
  answer_to(wire::write_cancel_request(key));
  const std::lock_guard lock(cancels_mutex);
  EXPECT_EQ(cancelled.size(), 1u);
}

TEST_F(ProxyTest, KeepsTheLengthOfACancelKeyAndLeadsItBack) {
  const wire::CancelKey long_key{42, std::string(32, 'k')};
  serve_and_note_cancels(message('R', number(0)) + message('K', number(long_key.process) + long_key.secret) +
                         message('Z', "I"));
  Peer peer = client();
  peer.send(wire::write_start_up({.version = {3, 2}, .parameters = {{"user", "ann"}, {"database", "app@dev"}}}));
  const std::string heard = peer.read(9 + 9 + 32 + 6);
  const wire::CancelKey key{wire::read_u32(heard, 14), heard.substr(18, 32)};
  EXPECT_EQ(key.process, long_key.process);
  EXPECT_NE(key.secret, long_key.secret);
  EXPECT_EQ(answer_to(wire::write_cancel_request(key)), "");
  const std::lock_guard lock(cancels_mutex);
  EXPECT_EQ(cancelled, std::vector{long_key});
}

TEST_F(ProxyTest, AnswersForTheProtocolThatItDoesNotKnow) {
  serve();
  Peer peer = client();
  peer.send(wire::write_start_up({.version = {3, 9'999}, .parameters = {{"user", "ann"}, {"_pq_.magic", "1"}}}));
  const std::string expected = wire::negotiate_protocol_version({.version = {3, 2}, .unknown_options = {"_pq_.magic"}});
  EXPECT_EQ(peer.read(expected.size()), expected);
  EXPECT_THAT(peer.read(welcome().size()), EndsWith(message('Z', "I")));
}

// OpenSSL's own client on a socket.
class TlsClient {
 public:
  TlsClient(Peer& peer, const std::filesystem::path& authority, const std::string& name, bool names_protocol = true)
      : context_(SSL_CTX_new(TLS_client_method()), ContextDeleter()) {
    SSL_CTX_load_verify_file(context_.get(), authority.c_str());
    SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER, nullptr);
    ssl_ = SSL_new(context_.get());
    SSL_set_fd(ssl_, peer.fd());
    SSL_set_tlsext_host_name(ssl_, name.c_str());
    SSL_set1_host(ssl_, name.c_str());
    static constexpr unsigned char protocol[] = "\x0apostgresql";
    if (names_protocol) SSL_set_alpn_protos(ssl_, protocol, sizeof protocol - 1);
  }
  ~TlsClient() { SSL_free(ssl_); }
  bool shake_hands() { return SSL_connect(ssl_) == 1; }
  bool send(const std::string& bytes) { return SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size())) > 0; }
  std::string read(std::size_t size) {
    std::string bytes(size, '\0');
    std::size_t have = 0;
    for (int count = 1; have < size && count > 0; have += static_cast<std::size_t>(std::max(count, 0))) {
      count = SSL_read(ssl_, bytes.data() + have, static_cast<int>(size - have));
    }
    bytes.resize(have);
    return bytes;
  }

 private:
  TlsContext context_;
  SSL* ssl_ = nullptr;
};

TEST_F(ProxyTest, IsWhoItsCertificateSaysByEveryNameThatLeadsToABranch) {
  serve();
  const auto authority = authority_certificate(options.tls.directory);
  for (const char* name : {"localhost", "dev.demo.localhost", "a.b.c.demo.localhost"}) {
    Peer peer = client();
    peer.send(number(8) + number(80877103));
    ASSERT_EQ(peer.read(1), "S");
    TlsClient tls(peer, authority, name);
    ASSERT_TRUE(tls.shake_hands()) << name;
    EXPECT_TRUE(tls.send(start_up("ann", "app")));
    EXPECT_THAT(tls.read(welcome().size()), EndsWith(message('Z', "I")));
    EXPECT_TRUE(tls.send("hello"));
    EXPECT_EQ(tls.read(5), "hello");
  }
  EXPECT_EQ(metrics.counter("pgtwig_endpoint_sessions_total", "").value(), 3u);
}

TEST_F(ProxyTest, SpeaksTlsAtOnceWhereTheProtocolIsNamed) {
  serve();
  const auto authority = authority_certificate(options.tls.directory);
  Peer direct = client();
  TlsClient tls(direct, authority, "localhost");
  ASSERT_TRUE(tls.shake_hands());
  EXPECT_TRUE(tls.send(start_up()));
  EXPECT_THAT(tls.read(welcome().size()), EndsWith(message('Z', "I")));
  Peer other = client();
  TlsClient nameless(other, authority, "localhost", false);
  EXPECT_TRUE(nameless.shake_hands());
  EXPECT_THAT(nameless.read(300), HasSubstr("ALPN"));
}

TEST_F(ProxyTest, ReadsAChangedAuthorityWithoutDroppingSessions) {
  serve();
  const auto authority = authority_certificate(options.tls.directory);
  Peer old_peer = client();
  TlsClient old_client(old_peer, authority, "localhost");
  ASSERT_TRUE(old_client.shake_hands());
  old_client.send(start_up());
  old_client.read(welcome().size());
  std::filesystem::remove(authority_key(options.tls.directory));
  std::filesystem::remove(authority);
  Authority::open_or_make(options.tls.directory);
  EXPECT_TRUE(wait_until([&] {
    Peer peer = client();
    return TlsClient(peer, authority, "localhost").shake_hands();
  }));
  EXPECT_TRUE(old_client.send("still here"));
  EXPECT_EQ(old_client.read(10), "still here");
}

TEST_F(ProxyTest, HoldsFiveThousandIdleSessionsInLittleMemory) {
  // Each has four descriptors here, as its client and its instance are in this process too.
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = limit.rlim_max;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  const std::size_t sessions = std::min<rlim_t>(5'000, (limit.rlim_max - 200) / 4);
  if (sessions < 1'000) GTEST_SKIP() << "at most " << limit.rlim_max << " descriptors are allowed";
  const UniqueFd listener = listen_on(make_address("127.0.0.1", 0));
  std::thread instances([&] {
    std::vector<Peer> idle;
    pollfd entry{listener.get(), POLLIN, 0};
    while (idle.size() < sessions && ::poll(&entry, 1, patience_ms) == 1) {
      idle.emplace_back(UniqueFd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)));
      idle.back().read_start_up();
      idle.back().send(welcome());
    }
    for (Peer& peer : idle) peer.read(1);  // until the test is over
  });
  serve();
  directory.port = local_address(listener.get()).port();
  const Peer first = session();  // with what is made once
  const std::size_t before = ::mallinfo2().uordblks;
  std::vector<Peer> clients;
  for (std::size_t count = 1; count < sessions && !HasFailure(); ++count) clients.push_back(session());
  EXPECT_EQ(proxy->figures().connections, sessions);
  const std::size_t bytes = (::mallinfo2().uordblks - before) / sessions;
  RecordProperty("bytes_of_a_session", static_cast<int>(bytes));
  EXPECT_LT(bytes, 4'096u);
  clients.clear();
  instances.join();
}

TEST_F(ProxyTest, RefusesAPortThatIsTaken) {
  serve();
  options.port = proxy->port();
  try {
    Proxy second(directory, metrics, options);
    FAIL() << "it listens";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::conflict);
  }
}

}  // namespace
}  // namespace pgtwig::proxy
