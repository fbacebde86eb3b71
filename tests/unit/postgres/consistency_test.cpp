// Facts about a running source, and a copy of it that is not atomic.
#include "postgres/consistency.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "postgres/control_file.h"
#include "postgres/hygiene.h"
#include "tests/support/wait.h"
#include "tests/unit/postgres/test_instance.h"

namespace pgtwig::postgres {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using SourceFactsOf = WithInstance;

TEST_F(SourceFactsOf, APlainClusterAreQuiet) {
  instance.configuration.overrides = {{"fsync", "on"}};
  Connection connection = instance.start();
  const SourceFacts facts = read_source_facts(connection);
  EXPECT_GT(facts.current.value, 0u);
  EXPECT_LE(facts.redo.value, facts.current.value);
  EXPECT_EQ(facts.wal_level, "replica");
  EXPECT_TRUE(facts.fsync);
  EXPECT_TRUE(facts.full_page_writes);
  EXPECT_EQ(facts.shared_buffers, 16u << 20);
  EXPECT_FALSE(facts.has_subscriptions);
  EXPECT_THAT(facts.external_tablespaces, IsEmpty());
  EXPECT_THAT(facts.prepared_transactions, IsEmpty());
  EXPECT_THAT(facts.unlogged_tables, IsEmpty());
}

TEST_F(SourceFactsOf, ABusyClusterNameWhatABranchMustKnow) {
  const auto outside = temporary.path() / "tablespace";
  make_directories(outside, 0700);
  if (::geteuid() == 0) {
    ASSERT_EQ(::chown(outside.c_str(), pgtwig::support::postgres_user().uid, pgtwig::support::postgres_user().gid), 0);
  }
  instance.configuration.user_settings = {{"max_prepared_transactions", "2"}, {"full_page_writes", "off"}};
  Connection connection = instance.start();
  connection.query("CREATE TABLESPACE far LOCATION " + quote_literal(outside.string()));
  connection.query("SET allow_in_place_tablespaces = on");
  connection.query("CREATE TABLESPACE near LOCATION ''");
  connection.query("CREATE UNLOGGED TABLE public.\"Cache\" (n int)");
  connection.query("BEGIN");
  connection.query("CREATE TABLE public.t (n int)");
  connection.query("PREPARE TRANSACTION 'left over'");
  connection.query("CREATE SUBSCRIPTION s CONNECTION 'host=nowhere' PUBLICATION p WITH (connect = false)");
  const SourceFacts facts = read_source_facts(connection);
  EXPECT_THAT(facts.external_tablespaces, ElementsAre("far: " + outside.string()));
  EXPECT_THAT(facts.unlogged_tables, ElementsAre("public.Cache"));
  EXPECT_THAT(facts.prepared_transactions, ElementsAre("left over"));
  EXPECT_TRUE(facts.has_subscriptions);
  EXPECT_FALSE(facts.fsync);
  EXPECT_FALSE(facts.full_page_writes);
  EXPECT_GT(facts.wal_since_redo(), 0u);
  checkpoint(connection);
  EXPECT_LT(read_source_facts(connection).wal_since_redo(), facts.wal_since_redo());
}

TEST(Checkpoint, PaysWhereMuchWouldHaveToBeReplayed) {
  SourceFacts facts;
  facts.current.value = 1ULL << 30;
  const auto with_wal = [&facts](std::uint64_t mebibytes, std::uint64_t buffers) {
    facts.redo.value = facts.current.value - (mebibytes << 20);
    facts.shared_buffers = buffers << 20;
    return checkpoint_pays(facts);
  };
  EXPECT_FALSE(with_wal(0, 128));
  EXPECT_FALSE(with_wal(4, 128));
  EXPECT_TRUE(with_wal(40, 128));
  EXPECT_TRUE(with_wal(500, 16));
}

TEST_F(SourceFactsOf, AsynchronousCommitsAreOnDiskAfterAFlush) {
  instance.configuration.user_settings = {{"wal_writer_delay", "10s"}, {"synchronous_commit", "off"}};
  Connection connection = instance.start();
  connection.query("CREATE TABLE public.t (n int)");
  Connection other = instance.connect();
  other.query("SET synchronous_commit = off");
  const auto flushed_up_to = [&](const std::string& lsn) {
    return connection.value("SELECT pg_current_wal_flush_lsn() >= $1::pg_lsn", {lsn}) == "t";
  };
  other.query("INSERT INTO public.t VALUES (1)");
  const std::string committed = connection.value("SELECT pg_current_wal_insert_lsn()");
  EXPECT_FALSE(flushed_up_to(committed)) << "there is nothing to flush";
  flush_wal(connection);
  EXPECT_TRUE(flushed_up_to(committed));
}

TEST(ConsistencyName, IsReadBack) {
  for (const Consistency one :
       {Consistency::automatic, Consistency::checkpoint, Consistency::fast, Consistency::backup}) {
    EXPECT_EQ(parse_consistency(consistency_name(one)), one);
  }
  EXPECT_FALSE(parse_consistency("quick"));
}

class BackupOf : public WithInstance {
 protected:
  void copy_file_by_file(const std::string& from, const std::string& to) {
    Command command;
    command.argv = {"cp", "-a", from, to};
    // A file that goes away meanwhile is no failure of such a copy.
    run_command(command);
  }
  pgtwig::support::TemporaryDirectory copy_directory;
  TestInstance copy{copy_directory.path()};
};

TEST_F(BackupOf, ABusySourceRecoversWithEverySumRight) {
  Connection connection = instance.start();
  connection.query(
      "CREATE TABLE public.account AS SELECT n AS id, 100 AS money, repeat('x', 200) AS filler FROM "
      "generate_series(1, 20000) n");
  connection.query("ALTER TABLE public.account ADD PRIMARY KEY (id)");
  connection.query("CREATE TABLE public.done (n int)");
  std::atomic<int> acknowledged = 0;
  std::jthread load([&](const std::stop_token& over) {
    Connection session = instance.connect();
    for (int n = 1; !over.stop_requested(); ++n) {
      session.query("BEGIN");
      session.query("UPDATE public.account SET money = money - 1 WHERE id = 1 + ($1::int * 7919) % 20000",
                    {std::to_string(n)});
      session.query("UPDATE public.account SET money = money + 1 WHERE id = 1 + ($1::int * 104729) % 20000",
                    {std::to_string(n)});
      session.query("INSERT INTO public.done VALUES ($1::int)", {std::to_string(n)});
      session.query("COMMIT");
      acknowledged = n;
      if (n % 200 == 0) session.query("CHECKPOINT");
    }
  });
  ASSERT_TRUE(pgtwig::support::wait_until([&] { return acknowledged > 300; }));
  int acknowledged_before_end = 0;
  {
    BackupSession backup(connection);
    copy_file_by_file(instance.data(), copy.data());
    acknowledged_before_end = acknowledged;
    std::filesystem::copy_file(instance.data() / "global" / "pg_control", copy.data() / "global" / "pg_control",
                               std::filesystem::copy_options::overwrite_existing);
    const BackupSession::Label label = backup.end();
    EXPECT_THAT(label.backup_label, HasSubstr("START WAL LOCATION"));
    EXPECT_EQ(label.tablespace_map, "");
    EXPECT_GT(label.end.value, 0u);
    write_file(copy.data() / "backup_label", label.backup_label, 0644);
    const OsUser user = pgtwig::support::postgres_user();
    ASSERT_EQ(::chown((copy.data() / "backup_label").c_str(), user.uid, user.gid), 0);
    remove_tree(copy.data() / "pg_wal");
    copy_file_by_file(instance.data() / "pg_wal", copy.data());
  }
  load.request_stop();
  load.join();
  EXPECT_EQ(connection.value("SELECT count(*) FROM pg_replication_slots"), "0");
  EXPECT_NO_THROW(read_control_file(copy.open_data().get()));
  clean_fork(copy.open_data().get());
  Connection recovered = copy.start();
  EXPECT_EQ(recovered.value("SELECT sum(money) FROM public.account"), "2000000");
  EXPECT_EQ(recovered.value("SELECT count(*) = max(n) FROM public.done"), "t")
      << "a transaction in the middle is missing";
  EXPECT_GE(std::stoi(recovered.value("SELECT max(n) FROM public.done")), acknowledged_before_end);
  recovered.query("CREATE EXTENSION amcheck SCHEMA public");
  EXPECT_NO_THROW(recovered.query("SELECT public.bt_index_check('public.account_pkey', true)"));
}

TEST_F(BackupOf, ASourceThatIsGivenUpLeavesNeitherBackupModeNorSlot) {
  Connection connection = instance.start();
  {
    const BackupSession backup(connection);
  }
  EXPECT_EQ(connection.value("SELECT count(*) FROM pg_replication_slots"), "0");
  {
    BackupSession(connection).end();
  }  // it can be entered again
}

TEST_F(BackupOf, AMinimalSourceIsRefused) {
  instance.configuration.user_settings = {{"wal_level", "minimal"}, {"max_wal_senders", "0"}};
  Connection connection = instance.start();
  try {
    const BackupSession backup(connection);
    ADD_FAILURE() << "it began";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::not_available);
    EXPECT_THAT(error.message(), HasSubstr("wal_level=minimal"));
  }
}

}  // namespace
}  // namespace pgtwig::postgres
