// Making a cluster, starting it, and who is let in.
#include "postgres/cluster.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "postgres/readiness.h"
#include "tests/unit/postgres/test_instance.h"

namespace pgtwig::postgres {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

using Cluster = WithInstance;

TEST_F(Cluster, IsReadyWithChecksumsUtf8AndScram) {
  Connection connection = instance.start();
  EXPECT_EQ(connection.value("SHOW data_checksums"), "on");
  EXPECT_EQ(connection.value("SHOW server_encoding"), "UTF8");
  EXPECT_EQ(connection.value("SHOW password_encryption"), "scram-sha-256");
  EXPECT_EQ(connection.value("SELECT datcollate FROM pg_database WHERE datname = 'template1'"), "C.UTF-8");
  EXPECT_EQ(connection.value("SHOW cluster_name"), "test/main");
  EXPECT_EQ(connection.value("SHOW port"), std::to_string(instance.configuration.port));
}

TEST_F(Cluster, LetsTheDaemonInByPeerAndNobodyElseAsItsRole) {
  Connection connection = instance.start();
  EXPECT_EQ(connection.value("SELECT current_user"), admin_role);
  EXPECT_EQ(connection.value("SELECT usesuper FROM pg_user WHERE usename = current_user"), "t");
  // Even with a password that it was given by hand.
  connection.query("ALTER ROLE pgtwig_admin PASSWORD 'known'");
  EXPECT_NE(instance.run_psql("SELECT 1", "127.0.0.1", admin_role, "known").exit_status, 0);
  EXPECT_EQ(instance.run_psql("SELECT 1", instance.sockets(), admin_role, "").output, "1\n");
  if (::geteuid() == 0) {
    Command psql;
    psql.argv = {
        "psql",     "-X", "-w",       "-h", instance.sockets(), "-p", std::to_string(instance.configuration.port), "-U",
        admin_role, "-d", "postgres", "-c", "SELECT 1"};
    psql.user = instance.configuration.user;
    const CommandResult refused = run_command(psql);
    EXPECT_NE(refused.exit_status, 0);
    EXPECT_THAT(refused.error_output, HasSubstr("Peer authentication failed"));
  }
}

TEST_F(Cluster, WantsThePasswordOverTcpAndOverTheSocket) {
  instance.start();
  for (const std::string& host : {std::string("127.0.0.1"), instance.sockets().string()}) {
    EXPECT_EQ(instance.run_psql("SELECT current_user", host, "postgres", test_password).output, "postgres\n");
    EXPECT_THAT(instance.run_psql("SELECT 1", host, "postgres", "wrong").error_output,
                HasSubstr("password authentication failed"));
    EXPECT_NE(instance.run_psql("SELECT 1", host, "postgres", "").exit_status, 0);
  }
}

TEST_F(Cluster, KeepsItsSocketsAndFilesFromOthers) {
  instance.start();
  struct stat status{};
  ASSERT_EQ(::stat(instance.sockets().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0700u);
  EXPECT_EQ(status.st_uid, instance.configuration.user.uid);
  for (const auto& file : {instance.configuration.files.config_file(), instance.configuration.files.hba_file(),
                           instance.configuration.files.ident_file()}) {
    ASSERT_EQ(::stat(file.c_str(), &status), 0);
    EXPECT_EQ(status.st_uid, ::geteuid());
    EXPECT_EQ(status.st_mode & 027, 0u) << file;
  }
}

TEST_F(Cluster, LeavesNothingBehindWhenInitdbFails) {
  pgtwig::support::TemporaryDirectory other;
  TestInstance failing(other.path());
  try {
    failing.init_anew("xx_XX.no-such-locale");
    ADD_FAILURE() << "it was made";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_THAT(error.message(), HasSubstr("xx_XX.no-such-locale"));
  }
  EXPECT_FALSE(std::filesystem::exists(failing.data()));
}

TEST_F(Cluster, IsNotMadeOverAnother) {
  try {
    instance.init_anew();
    ADD_FAILURE() << "it was made";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::already_exists);
  }
  EXPECT_NO_THROW(instance.start());
}

TEST_F(Cluster, GivesTheAdminRoleBackAfterItWasDropped) {
  {
    Connection connection = instance.start();
    instance.run_psql("DROP ROLE pgtwig_admin", "127.0.0.1", "postgres", test_password);
  }
  instance.stop();
  try {
    instance.start();
    ADD_FAILURE() << "there is no such role";
  } catch (const Error& error) {
    EXPECT_THAT(error.message(), HasSubstr("pgtwig_admin"));
  }
  instance.stop();
  create_admin_role(instance.installation(), instance.data(), instance.configuration.user);
  EXPECT_EQ(instance.start().value("SELECT current_user"), admin_role);
}

TEST_F(Cluster, PutsDefaultsBelowTheDataDirectorysOwnSettingsAndTheCommandLineAbove) {
  const auto append = [](const std::filesystem::path& file, const std::string& text) {
    const UniqueFd fd(::open(file.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
    ASSERT_EQ(::write(fd.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  };
  instance.configuration.defaults = {{"work_mem", "1MB"}, {"temp_buffers", "2MB"}, {"shared_buffers", "16MB"}};
  append(instance.data() / "postgresql.conf", "temp_buffers = 3MB\nmaintenance_work_mem = 4MB\nport = 1\n");
  append(instance.data() / "postgresql.auto.conf", "effective_cache_size = '5MB'\ncluster_name = 'another'\n");
  instance.configuration.user_settings = {{"maintenance_work_mem", "6MB"}};
  Connection connection = instance.start();
  EXPECT_EQ(connection.value("SHOW work_mem"), "1MB");
  EXPECT_EQ(connection.value("SHOW shared_buffers"), "16MB");
  EXPECT_EQ(connection.value("SHOW temp_buffers"), "3MB");
  EXPECT_EQ(connection.value("SHOW maintenance_work_mem"), "6MB");
  EXPECT_EQ(connection.value("SHOW effective_cache_size"), "5MB");
  EXPECT_EQ(connection.value("SHOW cluster_name"), "test/main");
}

TEST_F(Cluster, TakesTheFilesOfUsersInTheirOrder) {
  write_file(instance.data() / "postgresql.auto.conf", "effective_cache_size = '5MB'\n", 0644);
  instance.configuration.user_files = {
      {.name = "installation",
       .texts = {{conf_file_name, "work_mem = 2MB\ntemp_buffers = 3MB\neffective_cache_size = 9MB\n"},
                 {hba_file_name, "host all all 127.0.0.1/32 reject\n"},
                 {ident_file_name, "one a b\n"}}},
      {.name = "project",
       .texts = {{conf_file_name, "work_mem = 4MB\n"},
                 {hba_file_name, "host all all 127.0.0.2/32 reject\n"},
                 {ident_file_name, "two a b\n"}}}};
  Connection connection = instance.start();
  EXPECT_EQ(connection.value("SHOW work_mem"), "4MB");
  EXPECT_EQ(connection.value("SHOW temp_buffers"), "3MB");
  EXPECT_EQ(connection.value("SHOW effective_cache_size"), "5MB");
  EXPECT_EQ(connection.value("SELECT string_agg(address, ',') FROM pg_hba_file_rules WHERE address <> 'all'"),
            "127.0.0.2");
  const std::string ident = read_file(instance.configuration.files.ident_file());
  EXPECT_THAT(ident, HasSubstr("one a b\ntwo a b\n"));
}

TEST_F(Cluster, LetsNoFileOfAUserSayWhoItsAdminRoleIs) {
  write_file(instance.data() / "more", "pgtwig\n", 0644);
  std::string ident;
  for (const std::string& map :
       {std::string("pgtwig"), std::string(",pgtwig"), "@" + (instance.data() / "more").string()}) {
    ident += map + " somebody " + admin_role + "\n";
  }
  instance.configuration.user_files = {{.name = "project", .texts = {{ident_file_name, ident}}}};
  Connection connection = instance.start();
  EXPECT_EQ(connection.value("SELECT string_agg(sys_name, ',') FROM pg_ident_file_mappings"
                             " JOIN pg_hba_file_rules ON 'map=' || map_name = ANY (options)"),
            instance.configuration.daemon.name);
}

TEST_F(Cluster, SaysWhatIsWrongInAnIdentFileThatLetsNobodyIn) {
  instance.configuration.user_files = {{.name = "project", .texts = {{ident_file_name, "mine /( b\n"}}}};
  EXPECT_THROW(instance.start(), Error);
  EXPECT_THAT(last_failure_in_log(instance.log_file(), 0), HasSubstr("invalid regular expression"));
}

TEST_F(Cluster, FailsAStartWithPostgresOwnWordsForABadSetting) {
  instance.configuration.user_settings = {{"work_mem", "much"}};
  try {
    instance.start();
    ADD_FAILURE() << "it started";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::postgres_failed);
    EXPECT_THAT(error.message(), HasSubstr("invalid value for parameter \"work_mem\": \"much\""));
  }
}

TEST_F(Cluster, SaysThatItsPortIsTaken) {
  pgtwig::support::TemporaryDirectory other_directory;
  TestInstance other(other_directory.path());
  other.init();
  other.start();
  instance.configuration.port = other.configuration.port;
  try {
    instance.start();
    ADD_FAILURE() << "it started";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::busy);
    EXPECT_THAT(error.message(), HasSubstr(std::to_string(instance.configuration.port)));
  }
}

TEST_F(Cluster, IsReadyAgainAfterACrash) {
  Connection connection = instance.start();
  connection.query("CREATE TABLE public.kept (n int)");
  connection.query("INSERT INTO public.kept SELECT generate_series(1, 1000)");
  instance.stop(runtime::StopMode::immediate);
  EXPECT_FALSE(connection.is_usable());
  EXPECT_EQ(instance.start().value("SELECT count(*) FROM public.kept"), "1000");
}

class Include : public Cluster {
 protected:
  std::string refusal_of(const std::string& line, const std::string& file = "postgresql.conf") {
    write_file(instance.data() / file, line, 0644);
    try {
      write_instance_files(instance.configuration);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::not_allowed);
      return error.message();
    }
    return {};
  }
};

TEST_F(Include, ThatLeavesTheDataDirectoryIsRefused) {
  EXPECT_THAT(refusal_of("work_mem = 1MB\ninclude '/etc/hosts'\n"), HasSubstr("postgresql.conf:2"));
  EXPECT_THAT(refusal_of("include_if_exists = '../x.conf'"), HasSubstr("../x.conf"));
  EXPECT_THAT(refusal_of("  INCLUDE_DIR='/etc/postgresql'  # comment"), HasSubstr("/etc/postgresql"));
  EXPECT_EQ(refusal_of("# include '/etc/hosts'\nwork_mem = '/'"), "");
  write_file(instance.data() / "more.conf", "include '/etc/hosts'\n", 0644);
  EXPECT_THAT(refusal_of("include 'more.conf'"), HasSubstr("more.conf:1"));
  std::filesystem::create_symlink("/etc/hosts", instance.data() / "link.conf");
  EXPECT_THAT(refusal_of("include 'link.conf'"), HasSubstr("link.conf"));
  EXPECT_THAT(refusal_of("include 'postgresql.conf'"), HasSubstr("nested too deeply"));
}

TEST_F(Include, WithinTheDataDirectoryIsFollowed) {
  const auto directory = instance.data() / "conf.d";
  make_directories(directory, 0755);
  write_file(directory / "a.conf", "include_if_exists '../absent.conf'\nwork_mem = 7MB\n", 0644);
  EXPECT_EQ(refusal_of("include_dir 'conf.d'\ninclude '" + (directory / "a.conf").string() + "'\n"), "");
}

TEST(UserConfiguration, MaySayWhatPgtwigSetsItselfAndNoMoreThanASetting) {
  EXPECT_NO_THROW(check_user_configuration("port = 5432\nlisten_addresses = '*'\nssl_cert_file = 'x' # theirs\n"));
  for (const std::string line : {"archive_command = 'cp %p /x'", "INCLUDE 'x'", "include_dir='conf.d'", "fsync off",
                                 "shared_preload_libraries = 'evil'", "ssl_passphrase_command = 'x'"}) {
    try {
      check_user_configuration("work_mem = 1MB\n  " + line + "\n");
      ADD_FAILURE() << line << " was let through";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::not_allowed) << line;
      EXPECT_THAT(error.message(), HasSubstr("line 2 of postgresql.conf")) << line;
    }
  }
}

TEST(ClusterName, IsCutToWholeCharacters) {
  InstanceConfiguration configuration;
  configuration.data_directory = "/d";
  configuration.files.directory = "/i";
  configuration.cluster_name = std::string(62, 'x') + "\u00e4\u00e4";
  for (const auto& [name, value] : command_line_settings(configuration)) {
    if (name == "cluster_name") {
      EXPECT_EQ(value, std::string(62, 'x'));
    }
  }
}

}  // namespace
}  // namespace pgtwig::postgres
