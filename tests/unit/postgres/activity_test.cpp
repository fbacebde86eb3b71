// What counts as use of an instance, and what does not.
#include "postgres/activity.h"

#include <gtest/gtest.h>

#include <thread>

#include "tests/support/wait.h"
#include "tests/unit/postgres/test_instance.h"

namespace pgtwig::postgres {
namespace {

using pgtwig::support::wait_until;

class ActivityOf : public WithInstance {
 protected:
  void SetUp() override {
    WithInstance::SetUp();
    admin.emplace(instance.start());
    admin->query("CREATE ROLE app SUPERUSER LOGIN PASSWORD 'secret'");
  }
  Activity read() { return read_activity(*admin); }
  std::string psql(const std::string& sql) { return instance.run_psql(sql, "127.0.0.1", "app", "secret").output; }

  std::optional<Connection> admin;
};

TEST_F(ActivityOf, AnInstanceThatNobodyUsesIsNone) {
  const Activity first = read();
  EXPECT_FALSE(first.is_in_use);
  EXPECT_FALSE(first.idle_for);
  const Connection other = instance.connect();  // of the admin role, too
  const Activity second = read();
  EXPECT_FALSE(second.is_in_use);
  EXPECT_FALSE(second.idle_for);
  EXPECT_EQ(second.marks, first.marks);
}

TEST_F(ActivityOf, ItsOwnConnectionIsCountedFromTheFirstLook) {
  Connection fresh = instance.connect();
  const auto first = read_activity(fresh).sessions;
  EXPECT_EQ(read_activity(fresh).sessions, first);
}

TEST_F(ActivityOf, AShortSessionIsCounted) {
  const auto before = read().sessions;
  psql("SELECT 1");
  EXPECT_TRUE(wait_until([&] { return read().sessions == before + 1; }));
}

TEST_F(ActivityOf, ANewDatabaseIsSeen) {
  const std::string before = read().marks;
  admin->query("CREATE DATABASE other");
  Connection other = instance.connect("other");
  other.query("SELECT 1");
  EXPECT_TRUE(wait_until([&] { return read().marks != before; }));
}

TEST_F(ActivityOf, AClientIsUseWhileItsStatementRuns) {
  admin->query("SELECT pg_advisory_lock(1)");
  std::jthread client([&] { psql("SELECT pg_advisory_lock(1)"); });
  EXPECT_TRUE(wait_until([&] { return read().is_in_use; }));
  EXPECT_TRUE(wait_until([&] { return read().idle_for.has_value(); }));
  admin->query("SELECT pg_advisory_unlock(1)");
  client.join();
  EXPECT_TRUE(wait_until([&] { return !read().is_in_use && !read().idle_for; }));
}

TEST_F(ActivityOf, APreparedTransactionIsNoUse) {
  admin.reset();
  instance.stop();
  instance.configuration.user_settings = {{"max_prepared_transactions", "2"}};
  admin.emplace(instance.start());
  psql("BEGIN; CREATE TABLE t (n int); PREPARE TRANSACTION 'left over'");
  EXPECT_EQ(admin->value("SELECT count(*) FROM pg_prepared_xacts"), "1");
  EXPECT_TRUE(wait_until([&] { return !read().is_in_use; }));
}

}  // namespace
}  // namespace pgtwig::postgres
