// What a fork leaves behind.
#include "postgres/hygiene.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/unit/postgres/test_instance.h"

namespace pgtwig::postgres {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

// A source, and a second instance that is to become its fork.
class CleanFork : public WithInstance {
 protected:
  void fork_stopped() {
    instance.stop();
    fork.copy_data_from(instance);
  }
  ForkFindings clean() { return clean_fork(fork.open_data().get()); }
  std::string refusal() {
    try {
      clean();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::not_allowed);
      return error.message();
    }
    return {};
  }

  pgtwig::support::TemporaryDirectory fork_directory;
  TestInstance fork{fork_directory.path()};
};

TEST_F(CleanFork, OfAPlainClusterFindsNothingAndStarts) {
  instance.start();
  fork_stopped();
  const ForkFindings findings = clean();
  EXPECT_THAT(findings.held_back, IsEmpty());
  EXPECT_FALSE(findings.maybe_has_subscriptions);
  fork.configuration.overrides = isolation_overrides(fork.installation().major, true, {});
  EXPECT_EQ(fork.start().value("SHOW max_logical_replication_workers"), "0");
}

TEST_F(CleanFork, RemovesSlotsStandbyAndTemporaryFiles) {
  {
    Connection connection = instance.start();
    connection.query("SELECT pg_create_physical_replication_slot('mine', true)");
  }
  fork_stopped();
  const auto data = fork.data();
  write_file(data / "postmaster.pid", "1\n");
  write_file(data / "postmaster.opts", "x\n");
  write_file(data / "standby.signal", "");
  write_file(data / "recovery.signal", "");
  make_directories(data / "base" / "pgsql_tmp" / "deep");
  write_file(data / "base" / "pgsql_tmp" / "deep" / "x", "x");
  make_directories(data / "pg_tblspc" / "16999" / "PG_15_202209061" / "pgsql_tmp");
  write_file(data / "pg_stat_tmp" / "x", "x");
  write_file(data / "pg_dynshmem" / "x", "x");
  std::filesystem::create_directory(data / "pg_replslot" / "pgtwig_copy_77");
  EXPECT_THAT(clean().held_back, UnorderedElementsAre("replication slot: mine", "standby"));
  for (const char* gone :
       {"postmaster.pid", "postmaster.opts", "standby.signal", "recovery.signal", "pg_replslot/mine", "base/pgsql_tmp",
        "pg_tblspc/16999/PG_15_202209061/pgsql_tmp", "pg_stat_tmp/x", "pg_dynshmem/x"}) {
    EXPECT_FALSE(std::filesystem::exists(data / gone)) << gone;
  }
  EXPECT_TRUE(std::filesystem::exists(data / "pg_replslot"));
  remove_tree(data / "pg_tblspc" / "16999");
  EXPECT_EQ(fork.start().value("SELECT count(*) FROM pg_replication_slots"), "0");
}

TEST_F(CleanFork, HoldsBackWhatTheSourcesConfigurationWouldDoToTheWorld) {
  {
    Connection connection = instance.start();
    connection.query("ALTER SYSTEM SET archive_mode = on");
    connection.query("ALTER SYSTEM SET archive_command = 'touch /tmp/never'");
    connection.query("ALTER SYSTEM SET restore_command = 'false'");
    connection.query("ALTER SYSTEM SET primary_conninfo = 'host=nowhere'");
    connection.query("ALTER SYSTEM SET synchronous_standby_names = '*'");
  }
  fork_stopped();
  EXPECT_THAT(clean().held_back, UnorderedElementsAre("archive_command", "restore_command", "primary_conninfo",
                                                      "synchronous_standby_names"));
  fork.configuration.overrides = isolation_overrides(fork.installation().major, false, {"restore_command"});
  Connection connection = fork.start();
  EXPECT_EQ(connection.value("SHOW archive_mode"), "off");
  EXPECT_EQ(connection.value("SHOW archive_command"), "(disabled)");
  EXPECT_EQ(connection.value("SHOW primary_conninfo"), "");
  EXPECT_EQ(connection.value("SHOW restore_command"), "false") << "it was allowed";
  // With the inherited '*' this commit would wait for ever.
  ConnectOptions bounded{.socket_directory = fork.sockets(), .port = fork.configuration.port};
  bounded.statement_timeout = std::chrono::seconds(20);
  EXPECT_NO_THROW(Connection::open(bounded).query("CREATE TABLE public.t (n int)"));
}

TEST_F(CleanFork, NoticesPgCron) {
  write_file(instance.data() / "more.conf", "shared_preload_libraries = 'pg_stat_statements,pg_cron'\n", 0644);
  write_file(instance.data() / "postgresql.conf", "include 'more.conf'\n", 0644);
  fork.copy_data_from(instance);
  EXPECT_THAT(clean().held_back, ElementsAre("cron jobs"));
  EXPECT_THAT(isolation_overrides(15, false, {}),
              Contains(std::pair<std::string, std::string>("cron.launch_active_jobs", "off")));
  EXPECT_THAT(isolation_overrides(15, false, {"cron jobs"}),
              Not(Contains(std::pair<std::string, std::string>("cron.launch_active_jobs", "off"))));
}

TEST_F(CleanFork, RefusesExternalTablespacesAndLeavesThemAlone) {
  const auto outside = temporary.path() / "tablespace";
  make_directories(outside, 0700);
  if (::geteuid() == 0) {
    const OsUser user = pgtwig::support::postgres_user();
    ASSERT_EQ(::chown(outside.c_str(), user.uid, user.gid), 0);
  }
  {
    Connection connection = instance.start();
    connection.query("CREATE TABLESPACE far LOCATION " + quote_literal(outside.string()));
  }
  fork_stopped();
  EXPECT_THAT(refusal(), HasSubstr(outside.string()));
  EXPECT_TRUE(std::filesystem::exists(outside));
}

TEST_F(CleanFork, RefusesAWalDirectoryOnAnotherDisk) {
  fork.copy_data_from(instance);
  const auto outside = temporary.path() / "wal";
  std::filesystem::rename(fork.data() / "pg_wal", outside);
  std::filesystem::create_directory_symlink(outside, fork.data() / "pg_wal");
  EXPECT_THAT(refusal(), HasSubstr("pg_wal is a link to " + outside.string()));
}

TEST_F(CleanFork, FollowsNoLinkOutOfTheDirectory) {
  fork.copy_data_from(instance);
  const auto outside = temporary.path() / "precious";
  make_directories(outside);
  write_file(outside / "file", "x");
  remove_tree(fork.data() / "pg_stat_tmp");
  std::filesystem::create_directory_symlink(outside, fork.data() / "pg_stat_tmp");
  EXPECT_THAT(refusal(), HasSubstr("pg_stat_tmp"));
  EXPECT_TRUE(std::filesystem::exists(outside / "file"));
}

TEST_F(CleanFork, KeepsTablespacesInsideTheDataDirectory) {
  {
    Connection connection = instance.start();
    connection.query("SET allow_in_place_tablespaces = on");
    connection.query("CREATE TABLESPACE near LOCATION ''");
    connection.query("CREATE TABLE public.t (n int) TABLESPACE near");
    connection.query("INSERT INTO public.t VALUES (42)");
  }
  fork_stopped();
  EXPECT_EQ(refusal(), "");
  EXPECT_EQ(fork.start().value("SELECT n FROM public.t"), "42");
}

TEST_F(CleanFork, FindsSubscriptionsAndTakesThemOffTheirPublisher) {
  instance.configuration.user_settings = {{"wal_level", "logical"}};
  instance.configuration.overrides.emplace_back("max_logical_replication_workers", "0");
  {
    Connection connection = instance.start();
    connection.query("CREATE DATABASE \"other db\"");
    Connection other = instance.connect("other db");
    const std::string conninfo = "'host=127.0.0.1 port=1 dbname=x'";
    connection.query("CREATE SUBSCRIPTION \"first sub\" CONNECTION " + conninfo +
                     " PUBLICATION p WITH (connect = false, slot_name = 'parents_slot')");
    connection.query("ALTER SUBSCRIPTION \"first sub\" ENABLE");
    other.query("CREATE SUBSCRIPTION second CONNECTION " + conninfo + " PUBLICATION p WITH (connect = false)");
  }
  fork_stopped();
  EXPECT_TRUE(clean().maybe_has_subscriptions);
  fork.configuration.overrides = isolation_overrides(fork.installation().major, true, {});
  Connection connection = fork.start();
  const auto names = disable_subscriptions([this](const std::string& database) { return fork.connect(database); });
  EXPECT_THAT(names, UnorderedElementsAre("first sub", "second"));
  EXPECT_EQ(connection.value("SELECT count(*) FROM pg_subscription WHERE subenabled OR subslotname IS NOT NULL"), "0");
  connection.query("DROP SUBSCRIPTION \"first sub\"");  // without asking the publisher, who is not there
}

TEST_F(CleanFork, TakesASourceThatCrashedForOneWithSubscriptions) {
  instance.start();
  instance.stop(runtime::StopMode::immediate);
  fork.copy_data_from(instance);
  EXPECT_TRUE(clean().maybe_has_subscriptions);
}

}  // namespace
}  // namespace pgtwig::postgres
