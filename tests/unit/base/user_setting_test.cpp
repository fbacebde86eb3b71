#include "base/user_setting.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace pgtwig {
namespace {

TEST(UserSetting, IsRefusedWhenItRunsProgramsOrLoadsLibrariesOrIsNotTheUsersToSay) {
  for (const std::string name : {"archive_command",
                                 "restore_command",
                                 "recovery_end_command",
                                 "archive_cleanup_command",
                                 "ssl_passphrase_command",
                                 "archive_library",
                                 "local_preload_libraries",
                                 "session_preload_libraries",
                                 "shared_preload_libraries",
                                 "output_plugin_libraries",
                                 "oauth_validator_libraries",
                                 "dynamic_library_path",
                                 "extension_control_path",
                                 "jit_provider",
                                 "port",
                                 "PORT",
                                 "data_directory",
                                 "config_file",
                                 "hba_file",
                                 "ident_file",
                                 "external_pid_file",
                                 "unix_socket_directories",
                                 "unix_socket_permissions",
                                 "listen_addresses",
                                 "cluster_name",
                                 "log_directory",
                                 "log_destination",
                                 "logging_collector",
                                 "log_filename",
                                 "ssl",
                                 "ssl_cert_file",
                                 "ssl_key_file",
                                 "fsync",
                                 "full_page_writes",
                                 "zero_damaged_pages",
                                 "primary_conninfo",
                                 "promote_trigger_file",
                                 "stats_temp_directory",
                                 "x.some_script",
                                 "pltcl.start_proc",
                                 "pljava.vmoptions",
                                 "cron.host",
                                 "plperl.on_plperl_init",
                                 "synchronous_commit"}) {
    try {
      check_user_setting(name, "/x");
      ADD_FAILURE() << name << " was let through";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::not_allowed) << name;
    }
  }
}

TEST(UserSetting, MayPreloadWellKnownLibraries) {
  EXPECT_NO_THROW(check_user_setting("shared_preload_libraries", "pg_stat_statements, \"auto_explain\""));
  EXPECT_NO_THROW(check_user_setting("shared_preload_libraries", ""));
  EXPECT_THROW(check_user_setting("shared_preload_libraries", "pg_stat_statements,/tmp/evil"), Error);
  EXPECT_THROW(check_user_setting("shared_preload_libraries", "$libdir/../evil"), Error);
}

TEST(UserSetting, MustBeAName) {
  for (const std::string name : {"", "work mem", "-c", "1abc", "a..b", ".a", "a.", "a=b", "wörk"}) {
    try {
      check_user_setting(name, "1");
      ADD_FAILURE() << name << " was let through";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::invalid_argument) << name;
    }
  }
  EXPECT_THROW(check_user_setting("work_mem", "1MB\nport = 1"), Error);
  EXPECT_NO_THROW(check_user_setting("work_mem", "64MB"));
  EXPECT_NO_THROW(check_user_setting("auto_explain.log_min_duration", "0"));
}

}  // namespace
}  // namespace pgtwig
