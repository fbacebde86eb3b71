// Talking to a real server: results, failures, limits in time.
#include "postgres/connection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>

#include "tests/support/wait.h"
#include "tests/unit/postgres/test_instance.h"

namespace pgtwig::postgres {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

class ConnectionTo : public WithInstance {
 protected:
  ConnectOptions options() const {
    return {.socket_directory = instance.sockets(), .port = instance.configuration.port};
  }
  template <class Action>
  static Error failure(Action action) {
    try {
      action();
    } catch (const Error& error) {
      return error;
    }
    ADD_FAILURE() << "it did not fail";
    return {ErrorCode::internal, ""};
  }
};

TEST_F(ConnectionTo, AServerGivesTextAndAbsence) {
  Connection connection = instance.start();
  const auto rows = connection.query("SELECT $1::int + 1, NULL, '' UNION ALL SELECT 0, 'x', $2", {"41", "it's"});
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0][0], "42");
  EXPECT_EQ(rows[0][1], std::nullopt);
  EXPECT_EQ(rows[0][2], "");
  EXPECT_EQ(rows[1][2], "it's");
  EXPECT_EQ(connection.server_version() / 10000, instance.installation().major);
  EXPECT_EQ(connection.value("SELECT pg_backend_pid()"), std::to_string(connection.backend_pid()));
  EXPECT_THROW(connection.value("SELECT 1 WHERE false"), Error);
  EXPECT_THROW(connection.value("SELECT NULL"), Error);
}

TEST_F(ConnectionTo, AServerCarriesItsWordsAndSqlstateAndGoesOn) {
  Connection connection = instance.start();
  const Error error = failure([&] { connection.query("SELECT * FROM missing"); });
  EXPECT_EQ(error.code(), ErrorCode::postgres_failed);
  EXPECT_EQ(error.message(), "relation \"missing\" does not exist (SQLSTATE 42P01)");
  EXPECT_EQ(connection.value("SELECT 1"), "1");
}

TEST_F(ConnectionTo, AServerThatTakesTooLongIsClosedAndEndsTheStatement) {
  Connection other = instance.start();
  ConnectOptions limited = options();
  limited.statement_timeout = 100ms;
  Connection connection = Connection::open(limited);
  EXPECT_EQ(failure([&] { connection.query("SELECT pg_sleep(60)"); }).code(), ErrorCode::timed_out);
  EXPECT_FALSE(connection.is_usable());
  EXPECT_EQ(failure([&] { connection.query("SELECT 1"); }).code(), ErrorCode::postgres_failed);
  EXPECT_TRUE(pgtwig::support::wait_until(
      [&] { return other.value("SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'") == "0"; }));
}

TEST_F(ConnectionTo, AServerThatHangsRunsOutOfTime) {
  const ProcessHandle postmaster = instance.launch();
  instance.wait(postmaster);
  postmaster.send_signal(SIGSTOP);
  ConnectOptions limited = options();
  limited.timeout = 100ms;
  EXPECT_EQ(failure([&] { Connection::open(limited); }).code(), ErrorCode::timed_out);
  postmaster.send_signal(SIGCONT);
}

TEST_F(ConnectionTo, AServerThatIsNotThereSaysSo) {
  const auto refused = Connection::try_open(options());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().sqlstate, "");
  EXPECT_THAT(refused.error().message, HasSubstr("No such file or directory"));
  EXPECT_EQ(failure([&] { Connection::open(options()); }).code(), ErrorCode::postgres_failed);
}

TEST_F(ConnectionTo, ADatabaseThatIsMissingGivesItsSqlstate) {
  instance.start();
  ConnectOptions missing = options();
  missing.database = "missing";
  const auto refused = Connection::try_open(missing);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().sqlstate, "3D000");
  EXPECT_EQ(refused.error().message, "database \"missing\" does not exist");
}

TEST_F(ConnectionTo, AClusterWithoutItsDefaultDatabaseIsByTemplate1) {
  {
    Connection connection = instance.start();
    EXPECT_EQ(connection.database(), "postgres");
  }
  ConnectOptions elsewhere = options();
  elsewhere.database = "template1";
  Connection::open(elsewhere).query("DROP DATABASE postgres WITH (FORCE)");
  EXPECT_EQ(Connection::open(options()).database(), "template1");
}

TEST_F(ConnectionTo, AServerOfAnotherUserOrProcessIsRefused) {
  const ProcessHandle postmaster = instance.launch();
  instance.wait(postmaster);
  ConnectOptions exact = options();
  exact.server_user = instance.spec().user.name;
  exact.server_pid = postmaster.pid();
  EXPECT_EQ(Connection::open(exact).value("SELECT 1"), "1");

  ConnectOptions another_user = exact;
  another_user.server_user = "no-such-user";
  EXPECT_THAT(failure([&] { Connection::open(another_user); }).message(), HasSubstr("requirepeer"));
  ConnectOptions another_process = exact;
  another_process.server_pid = ::getpid();
  EXPECT_THAT(failure([&] { Connection::open(another_process); }).message(), HasSubstr("not PostgreSQL's process"));
}

TEST_F(ConnectionTo, ADeadBackendIsNoticed) {
  Connection connection = instance.start();
  EXPECT_TRUE(connection.is_usable());
  Connection other = instance.connect();
  other.query("SELECT pg_terminate_backend($1::int)", {std::to_string(connection.backend_pid())});
  EXPECT_TRUE(pgtwig::support::wait_until([&] { return !connection.is_usable(); }));
  const Error error = failure([&] { connection.query("SELECT 1"); });
  EXPECT_EQ(error.code(), ErrorCode::postgres_failed);
}

TEST_F(ConnectionTo, AServerHeedsNoVariableOfTheCallerAndNoSettingOfItsUsers) {
  Connection connection = instance.start();
  connection.query("CREATE FUNCTION public.version() RETURNS text LANGUAGE sql AS $$SELECT 'hijacked'$$");
  connection.query("ALTER ROLE pgtwig_admin SET search_path = public, pg_catalog");
  connection.query("ALTER DATABASE postgres SET statement_timeout = 1");
  ::setenv("PGOPTIONS", "-c search_path=public,pg_catalog", 1);
  ::setenv("PGDATABASE", "nowhere", 1);
  Connection fresh = instance.connect();
  ::unsetenv("PGOPTIONS");
  ::unsetenv("PGDATABASE");
  EXPECT_THAT(fresh.value("SELECT version()"), HasSubstr("PostgreSQL " + instance.installation().version));
  EXPECT_EQ(fresh.value("SHOW statement_timeout"), "0");
}

TEST_F(ConnectionTo, AServerTakesQuotedTextForWhatItIs) {
  Connection connection = instance.start();
  for (const std::string text : {"plain", "it's", "back\\slash", "both\\'", "\"quoted\"", "näme", "a;b--c", "\\"}) {
    EXPECT_EQ(connection.value("SELECT " + quote_literal(text)), text);
    EXPECT_NO_THROW(connection.query("SELECT 1 AS " + quote_identifier(text)));
    connection.query("SET standard_conforming_strings = off");
    EXPECT_EQ(connection.value("SELECT " + quote_literal(text)), text);
    connection.query("SET standard_conforming_strings = on");
  }
}

}  // namespace
}  // namespace pgtwig::postgres
