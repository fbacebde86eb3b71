// Every PostgreSQL on this machine, and those in the directories of PGTWIG_TEST_POSTGRES (separated by ':'), is made,
// started, asked, copied and started again as a branch.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <sstream>

#include "postgres/consistency.h"
#include "postgres/control_file.h"
#include "postgres/hygiene.h"
#include "tests/unit/postgres/test_instance.h"

namespace pgtwig::postgres {
namespace {

std::vector<Installation> all_installations() {
  std::vector<std::string> more;
  const char* variable = std::getenv("PGTWIG_TEST_POSTGRES");
  std::istringstream directories(variable == nullptr ? "" : variable);
  for (std::string directory; std::getline(directories, directory, ':');) more.push_back(directory);
  return find_installations(more);
}

void expect_branch_works(const Installation& installation) {
  pgtwig::support::TemporaryDirectory source_directory;
  pgtwig::support::TemporaryDirectory branch_directory;
  TestInstance source(source_directory.path(), installation);
  TestInstance branch(branch_directory.path(), installation);
  source.init();
  EXPECT_TRUE(read_control_file(source.open_data().get()).was_cleanly_shut_down());
  Connection connection = source.start();
  EXPECT_EQ(connection.server_version() / 10000, installation.major);
  connection.query("CREATE TABLE public.t AS SELECT generate_series(1, 1000) n");
  EXPECT_GT(read_source_facts(connection).wal_since_redo(), 0u);
  checkpoint(connection);
  {
    BackupSession backup(connection);
    branch.copy_data_from(source);
    write_file(branch.data() / "backup_label", backup.end().backup_label, 0644);
    const OsUser& user = branch.configuration.user;
    ASSERT_EQ(::chown((branch.data() / "backup_label").c_str(), user.uid, user.gid), 0);
    remove_tree(branch.data() / "pg_wal");
    Command copy;
    copy.argv = {"cp", "-a", (source.data() / "pg_wal").string(), branch.data().string()};
    run_command_checked(copy, "cp", ErrorCode::internal);
  }
  const ControlFile control = read_control_file(branch.open_data().get());
  EXPECT_EQ(control.state, ClusterState::in_production);
  EXPECT_EQ(connection.value("SELECT system_identifier FROM pg_control_system()"),
            std::to_string(control.system_identifier));
  clean_fork(branch.open_data().get());
  for (const SettingList& some :
       {isolation_overrides(installation.major, true, {}), recovery_sync_overrides(installation.major, true)}) {
    branch.configuration.overrides.insert(branch.configuration.overrides.end(), some.begin(), some.end());
  }
  Connection branched = branch.start();
  EXPECT_EQ(branched.value("SELECT count(*) FROM public.t"), "1000");
  EXPECT_TRUE(disable_subscriptions([&](const std::string& database) { return branch.connect(database); }).empty());
}

TEST(EachInstalledVersion, MakesBranchesThatWork) {
  const auto installations = all_installations();
  ASSERT_FALSE(installations.empty());
  for (const Installation& installation : installations) {
    SCOPED_TRACE(installation.version);
    EXPECT_NO_THROW(expect_branch_works(installation));
  }
}

}  // namespace
}  // namespace pgtwig::postgres
