// The codec of PostgreSQL's start-up, without any connection.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "proxy/wire/bytes.h"
#include "proxy/wire/first_packet.h"
#include "proxy/wire/messages.h"
#include "proxy/wire/option_words.h"
#include "proxy/wire/start_up_answer.h"

namespace pgtwig::proxy::wire {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using namespace std::string_literals;

std::string number(std::uint32_t value) {
  std::string text;
  append_u32(text, value);
  return text;
}

std::string message(char type, const std::string& body) {
  return type + number(static_cast<std::uint32_t>(body.size() + 4)) + body;
}

TEST(FirstPacket, IsToldApartByItsCode) {
  EXPECT_EQ(parse_head(number(8) + number(80877103))->kind, FirstPacketKind::tls_request);
  EXPECT_EQ(parse_head(number(8) + number(80877104))->kind, FirstPacketKind::gssenc_request);
  EXPECT_EQ(parse_head(number(16) + number(80877102))->kind, FirstPacketKind::cancel_request);
  const auto start_up = parse_head(number(9'999) + number(196'610));
  EXPECT_EQ(start_up->kind, FirstPacketKind::start_up);
  EXPECT_EQ(start_up->size, 9'999u);
  EXPECT_EQ(start_up->version, (ProtocolVersion{3, 2}));
}

TEST(FirstPacket, HasASizeThatPostgresqlWouldTake) {
  EXPECT_FALSE(parse_head(number(7) + number(196'608)));
  EXPECT_FALSE(parse_head(number(10'001) + number(196'608)));
  EXPECT_FALSE(parse_head("GET / HT"));
  EXPECT_FALSE(parse_head(number(9) + number(80877103)));
}

TEST(StartUp, ReadsBackAsItWasWritten) {
  StartUp start_up{.version = {3, 0}, .parameters = {{"user", "ann"}, {"database", "app@dev"}, {"options", ""}}};
  const auto again = parse_start_up(write_start_up(start_up));
  ASSERT_TRUE(again);
  EXPECT_EQ(again->version, start_up.version);
  EXPECT_EQ(again->parameters, start_up.parameters);
}

TEST(StartUp, IsRefusedWithoutItsEndsOrWithMoreBehindThem) {
  const std::string head = number(0) + number(196'608);
  EXPECT_TRUE(parse_start_up(head + "user\0ann\0\0"s));
  EXPECT_TRUE(parse_start_up(head + "\0"s));
  for (const std::string& body : {""s, "user"s, "user\0"s, "user\0ann"s, "user\0ann\0"s, "user\0ann\0\0x"s}) {
    EXPECT_FALSE(parse_start_up(head + body)) << body;
  }
}

TEST(StartUp, CountsTheLastOfARepeatedParameterAndTakesAll) {
  StartUp start_up{.parameters = {{"user", "a"}, {"database", "x"}, {"user", "b"}}};
  EXPECT_EQ(*start_up.find("user"), "b");
  EXPECT_EQ(start_up.take("user"), "b");
  EXPECT_THAT(start_up.parameters, ElementsAre(Pair("database", "x")));
  EXPECT_EQ(start_up.take("user"), std::nullopt);
}

TEST(StartUp, ReplicatesAWholeClusterWhereReplicationIsTrueInAnyOfPostgresqlsWords) {
  const auto says = [](const std::string& value) {
    return is_physical_replication({.parameters = {{"replication", value}}});
  };
  for (const char* value : {"true", "TRUE", "t", "on", "yes", "1"}) EXPECT_TRUE(says(value)) << value;
  for (const char* value : {"database", "false", "0", "off", ""}) EXPECT_FALSE(says(value)) << value;
}

TEST(CancelRequest, CarriesKeysOfOldAndNewLength) {
  for (const std::size_t size : {4u, 32u, 256u}) {
    const CancelKey key{4711, std::string(size, '\x80')};
    const std::string packet = write_cancel_request(key);
    EXPECT_EQ(parse_head(packet.substr(0, head_size))->size, packet.size());
    EXPECT_EQ(parse_cancel_request(packet).value(), key);
  }
  EXPECT_FALSE(parse_cancel_request(write_cancel_request({1, "abc"})));
  EXPECT_FALSE(parse_cancel_request(write_cancel_request({1, std::string(257, 'x')})));
}

TEST(OptionWords, GiveTheSettingInEachOfItsSpellings) {
  for (const char* text : {"-c pgtwig.branch=demo/dev", "-cpgtwig.branch=demo/dev", "--pgtwig.branch=demo/dev",
                           "  -c   PGTWIG.Branch=demo/dev\t", "-c pgtwig.branch=x -c pgtwig.branch=demo/dev"}) {
    std::string options = text;
    EXPECT_EQ(take_setting(options, "pgtwig.branch"), "demo/dev") << text;
    EXPECT_EQ(options, "") << text;
  }
}

TEST(OptionWords, KeepAllOthersAsTheyWereWritten) {
  std::string options = R"(-c search_path=a\ b,c -c pgtwig.branch=dev --work_mem=4MB -d 3 -c)";
  EXPECT_EQ(take_setting(options, "pgtwig.branch"), "dev");
  EXPECT_EQ(options, R"(-c search_path=a\ b,c --work_mem=4MB -d 3 -c)");
  std::string without = "-c  work_mem=4MB \\";
  EXPECT_EQ(take_setting(without, "pgtwig.branch"), std::nullopt);
  EXPECT_EQ(without, "-c  work_mem=4MB \\");
}

TEST(ErrorResponse, HasPostgresqlsFieldsAndNoZeroByteInsideThem) {
  const std::string text = error_response({.sqlstate = "08P01", .message = "no\0t"s, .detail = "d", .hint = "h"});
  EXPECT_EQ(text, message('E', "SFATAL\0VFATAL\0C08P01\0Mno\0Dd\0Hh\0\0"s));
}

class StartUpAnswerTest : public ::testing::Test {
 protected:
  StartUpAnswer answer(std::optional<Negotiation> own = {}) {
    return {std::move(own),
            [](const CancelKey& key) { return CancelKey{key.process, std::string(key.secret.size(), '#')}; }};
  }
  // What comes out, fed in pieces of each size; the same for all of them.
  std::string pass(const std::string& bytes, const std::optional<Negotiation>& own = {}) {
    std::optional<std::string> result;
    for (std::size_t piece = 1; piece <= bytes.size(); ++piece) {
      StartUpAnswer one = answer(own);
      std::string out;
      for (std::size_t at = 0; at < bytes.size(); at += piece) EXPECT_TRUE(one.feed(bytes.substr(at, piece), out));
      EXPECT_EQ(result.value_or(out), out) << "in pieces of " << piece;
      result = out;
    }
    return result.value();
  }

  const std::string ok = message('R', number(0));
  const std::string ready = message('Z', "I");
};

TEST_F(StartUpAnswerTest, PassesEverythingButTheCancelKey) {
  const std::string before = ok + message('S', "server_version\0"s + "18\0"s) + message('N', std::string(300, 'n'));
  const std::string key = message('K', number(42) + "real");
  const std::string after = ready + "whatever K follows";
  EXPECT_EQ(pass(before + key + after), before + message('K', number(42) + "####") + after);
  const std::string long_key = message('K', number(42) + std::string(32, 'k'));
  EXPECT_EQ(pass(long_key), message('K', number(42) + std::string(32, '#')));
}

TEST_F(StartUpAnswerTest, IsOverWithReadyForQueryAndKnowsWhoWasLetIn) {
  StartUpAnswer one = answer();
  std::string out;
  EXPECT_EQ(one.first_message(), std::nullopt);
  ASSERT_TRUE(one.feed(message('R', number(10) + "SCRAM-SHA-256\0\0"s), out));
  EXPECT_EQ(one.first_message(), 'R');
  EXPECT_FALSE(one.is_authenticated());
  ASSERT_TRUE(one.feed(ok, out));
  EXPECT_TRUE(one.is_authenticated());
  EXPECT_FALSE(one.is_over());
  ASSERT_TRUE(one.feed(ready, out));
  EXPECT_TRUE(one.is_over());
}

TEST_F(StartUpAnswerTest, KnowsTheSqlstateOfAnError) {
  StartUpAnswer one = answer();
  std::string out;
  const std::string error = message('E', "SFATAL\0C57P03\0Mnot now\0\0"s);
  ASSERT_TRUE(one.feed(error.substr(0, 9), out));
  EXPECT_EQ(one.first_message(), 'E');
  EXPECT_EQ(one.sqlstate(), std::nullopt);
  ASSERT_TRUE(one.feed(error.substr(9), out));
  EXPECT_EQ(one.sqlstate(), "57P03");
  EXPECT_EQ(out, error);
}

TEST_F(StartUpAnswerTest, NegotiatesForAServerThatHasNothingToNegotiate) {
  const Negotiation own{.version = {3, 2}, .unknown_options = {"_pq_.magic"}};
  EXPECT_EQ(pass(ok, own), message('v', number(196'610) + number(1) + "_pq_.magic\0"s) + ok);
  // An error is the last word; nothing has to be agreed on any more.
  const std::string error = message('E', "SFATAL\0C28000\0\0"s);
  EXPECT_EQ(pass(error, own), error);
}

TEST_F(StartUpAnswerTest, AgreesWithAnOlderServer) {
  const std::string older = message('v', number(196'608) + number(0));
  EXPECT_EQ(pass(older + ok), older + ok);
  EXPECT_EQ(pass(older + ok, Negotiation{.version = {3, 2}, .unknown_options = {"_pq_.a"}}),
            message('v', number(196'608) + number(1) + "_pq_.a\0"s) + ok);
}

TEST_F(StartUpAnswerTest, RefusesWhatNoServerSays) {
  const auto error_of = [&](const std::string& bytes) {
    StartUpAnswer one = answer();
    std::string out;
    const auto fed = one.feed(bytes, out);
    return fed ? "" : fed.error();
  };
  EXPECT_THAT(error_of("R" + number(3)), HasSubstr("3 bytes"));
  EXPECT_THAT(error_of("E" + number(1u << 20)), HasSubstr("'E'"));
  EXPECT_THAT(error_of(message('K', number(1))), HasSubstr("cancel key"));
  EXPECT_THAT(error_of(message('v', number(1))), HasSubstr("version"));
}

}  // namespace
}  // namespace pgtwig::proxy::wire
