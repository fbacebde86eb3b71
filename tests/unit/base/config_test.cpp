#include "base/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>

#include "base/error.h"
#include "base/fs.h"
#include "tests/support/temporary_directory.h"

namespace pgtwig {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

class ConfigFile : public ::testing::Test {
 protected:
  Config load(const std::string& text, const std::map<std::string, std::string>& environment = {}) {
    write_file(file_, text);
    return load_config(file_, environment);
  }
  // The error that loading this text gives.
  std::string refused(const std::string& text) {
    try {
      load(text);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
      return error.message() + " | " + error.hint();
    }
    ADD_FAILURE() << "accepted: " << text;
    return "";
  }
  // The text of the file once a key is set in `before`.
  std::string set(const std::string& before, const std::string& key, const std::string& value) {
    write_file(file_, before);
    set_config_value(file_, key, value);
    EXPECT_EQ(config_value(load_config(file_, {}), key), value);
    return read_file(file_);
  }

  support::TemporaryDirectory directory_;
  std::filesystem::path file_ = directory_ / "pgtwig.toml";
};

TEST_F(ConfigFile, MayBeAbsentWhichIsAllDefaults) {
  const Config config = load_config(file_, {});
  EXPECT_EQ(config.runtime, "native");
  EXPECT_EQ(config.ports.first, 6001);
  EXPECT_EQ(config.pool_image_size, 60_GiB);
  EXPECT_FALSE(config.proxy.is_enabled);
  EXPECT_FALSE(config.metrics.is_enabled);
  EXPECT_EQ(config.metrics.listen, "127.0.0.1");
  EXPECT_EQ(config.origins.at("ports.first"), "default");
}

TEST_F(ConfigFile, GivesEveryKey) {
  const Config config = load(R"(
runtime = "podman"
log_level = "debug"
[pool]
default = "fast"
image_size = "10G"
[ports]
first = 7000
last = 7010
[postgres]
directories = ["/opt/pg/bin", "/srv/pg"]
conf_file = "/own/postgresql.conf"
hba_file = "/own/pg_hba.conf"
ident_file = "/own/pg_ident.conf"
config_directory = "/own"
[container]
image = "postgres:17"
network = "bridge"
[postgres.settings]
work_mem = "8MB"
max_connections = 50
jit = false
pg_stat_statements.max = 1000
[branch]
shared_buffers = "32MB"
suspend_after = "30m"
[wal]
archive = false
limit = "10G"
[recovery]
window = "14 days"
[snapshots]
every = "15m"
keep = "12h, 30d"
[proxy]
enabled = true
listen = "::1"
port = 6432
domain = "pg.example.org"
database_is_branch = true
tls_certificate = "/etc/pg.crt"
tls_key = "/etc/pg.key"
[metrics]
enabled = true
listen = "::"
port = 9100
)");
  EXPECT_EQ(config.runtime, "podman");
  EXPECT_EQ(config.branch_suspend_after, std::chrono::minutes(30));
  EXPECT_EQ(config.log_level, "debug");
  EXPECT_EQ(config.pool, "fast");
  EXPECT_EQ(config.pool_image_size, 10_GiB);
  EXPECT_EQ(config.ports.first, 7000);
  EXPECT_EQ(config.ports.last, 7010);
  EXPECT_THAT(config.postgres_directories, ElementsAre("/opt/pg/bin", "/srv/pg"));
  EXPECT_THAT(config.postgres_settings, ElementsAre(Pair("jit", "off"), Pair("max_connections", "50"),
                                                    Pair("pg_stat_statements.max", "1000"), Pair("work_mem", "8MB")));
  EXPECT_EQ(config.postgres_conf_file, "/own/postgresql.conf");
  EXPECT_EQ(config.postgres_hba_file, "/own/pg_hba.conf");
  EXPECT_EQ(config.postgres_ident_file, "/own/pg_ident.conf");
  EXPECT_EQ(config.postgres_config_directory, "/own");
  EXPECT_EQ(config.container_image, "postgres:17");
  EXPECT_EQ(config.container_network, "bridge");
  EXPECT_EQ(config.branch_shared_buffers, "32MB");
  EXPECT_FALSE(config.wal_archive);
  EXPECT_EQ(config.wal_limit, 10_GiB);
  EXPECT_EQ(config.recovery_window, std::chrono::days(14));
  EXPECT_EQ(config.snapshots_every, std::chrono::minutes(15));
  EXPECT_EQ(config.snapshots_keep, "12h, 30d");
  EXPECT_TRUE(config.proxy.is_enabled);
  EXPECT_EQ(config.proxy.listen, "::1");
  EXPECT_EQ(config.proxy.port, 6432);
  EXPECT_EQ(config.proxy.domain, "pg.example.org");
  EXPECT_TRUE(config.proxy.database_is_branch);
  EXPECT_EQ(config.proxy.tls_certificate, "/etc/pg.crt");
  EXPECT_EQ(config.proxy.tls_key, "/etc/pg.key");
  EXPECT_TRUE(config.metrics.is_enabled);
  EXPECT_EQ(config.metrics.listen, "::");
  EXPECT_EQ(config.metrics.port, 9100);
  EXPECT_EQ(config.origins.at("ports.first"), "file");
  EXPECT_EQ(config.origins.at("postgres.settings.work_mem"), "file");
  for (const ConfigKey& key : config_keys()) {
    if (key.name != "postgres.settings.<name>") {
      EXPECT_EQ(config.origins.at(key.name), "file") << key.name;
    }
  }
}

TEST_F(ConfigFile, IsOverruledByTheEnvironment) {
  const Config config = load("runtime = \"podman\"\n", {{"PGTWIG_RUNTIME", "docker"}, {"PGTWIG_LOG_LEVEL", "warn"}});
  EXPECT_EQ(config.runtime, "docker");
  EXPECT_EQ(config.log_level, "warn");
  EXPECT_EQ(config.origins.at("runtime"), "environment");
  EXPECT_THROW(load("", {{"PGTWIG_LOG_LEVEL", "loud"}}), Error);
}

TEST_F(ConfigFile, IsRefusedWithFileLineKeyAndTheNearestKeys) {
  EXPECT_THAT(
      refused("\n[ports]\nfrist = 7000\n"),
      ::testing::AllOf(HasSubstr("pgtwig.toml:3: "), HasSubstr("'ports.frist'"), HasSubstr("mean ports.first")));
  EXPECT_THAT(refused("first = 7000\n"), HasSubstr("mean ports.first"));
  EXPECT_THAT(refused("[prots]\nfirst = 7000\n"), HasSubstr("pgtwig.toml:1: "));
  EXPECT_THAT(refused("ports = 5\n"), HasSubstr("'ports'"));
  EXPECT_THAT(refused("runtime = \n"), HasSubstr("pgtwig.toml:1: "));
}

TEST_F(ConfigFile, IsRefusedWhenAValueIsWrong) {
  EXPECT_THAT(refused("[ports]\nfirst = \"7000\"\n"), HasSubstr("pgtwig.toml:2: ports.first: must be a whole number"));
  EXPECT_THAT(refused("[ports]\nfirst = 80\n"), HasSubstr("'80' is not a port"));
  EXPECT_THAT(refused("[ports]\nfirst = 70000\n"), HasSubstr("'70000' is not a port"));
  EXPECT_THAT(refused("[ports]\nfirst = 9000\nlast = 8000\n"), HasSubstr("greater than ports.last"));
  EXPECT_THAT(refused("runtime = \"vmware\"\n"), HasSubstr("native, docker, podman, nerdctl"));
  EXPECT_THAT(refused("log_level = 3\n"), HasSubstr("must be a text"));
  EXPECT_THAT(refused("[pool]\ndefault = \"No Pool\"\n"), HasSubstr("pool.default"));
  EXPECT_THAT(refused("[pool]\nimage_size = \"big\"\n"), HasSubstr("'big'"));
  EXPECT_THAT(refused("[postgres]\ndirectories = [\"relative\"]\n"), HasSubstr("absolute path"));
  EXPECT_THAT(refused("[postgres]\ndirectories = \"/opt\"\n"), HasSubstr("a list"));
  EXPECT_THAT(refused("[postgres.settings]\n\"Work Mem\" = \"1\"\n"),
              HasSubstr("not the name of a PostgreSQL setting"));
  EXPECT_THAT(refused("[postgres.settings]\nwork_mem = \"1\\n2\"\n"), HasSubstr("must be one line"));
  EXPECT_THAT(refused("[branch]\nshared_buffers = \"16mb\"\n"), HasSubstr("shared_buffers"));
}

// A file that was read before says which key has to be changed, and how.
TEST_F(ConfigFile, RefusesSizesWithoutAUnitAndThoseTooSmallForTheirPurpose) {
  EXPECT_THAT(refused("[wal]\nlimit = 4294967296\n"),
              ::testing::AllOf(HasSubstr("pgtwig.toml:2: wal.limit: '4294967296'"), HasSubstr("unit")));
  EXPECT_THAT(refused("[wal]\nlimit = \"4\"\n"), HasSubstr("'4' has no unit"));
  EXPECT_THAT(refused("[pool]\nimage_size = 20\n"), HasSubstr("pool.image_size: '20' has no unit"));
  EXPECT_THAT(refused("[wal]\nlimit = \"7M\"\n"), HasSubstr("wal.limit: '7M' is too little: 8 MiB at least"));
  EXPECT_THAT(refused("[pool]\nimage_size = \"1000M\"\n"), HasSubstr("'1000M' is too little: 1 GiB at least"));
  EXPECT_THAT(refused("[pool]\nimage_size = 0\n"), HasSubstr("'0' is too little"));
  EXPECT_THAT(refused("[branch]\nshared_buffers = \"1\"\n"), HasSubstr("'1' is too little: 128kB at least"));
  EXPECT_EQ(load("[wal]\nlimit = \"8M\"\n[pool]\nimage_size = \"1G\"\n").wal_limit, 8_MiB);
}

TEST_F(ConfigFile, IsMendedBySettingTheKeyWhoseValueIsWrong) {
  EXPECT_THAT(set("[recovery]\nwindow = \"off\" # ?\n", "recovery.window", "3d"), HasSubstr("window = \"3d\" # ?\n"));
  EXPECT_THAT(set("[ports]\nfirst = 12000\nlast = 11000\n", "ports.last", "13000"), HasSubstr("last = 13000\n"));
  EXPECT_THAT(set("[ports]\nfirst = 12000\nlast = 13000\n", "ports.last", "12500"), HasSubstr("last = 12500\n"));
}

TEST_F(ConfigFile, RefusesSettingsThatNoBranchMayHave) {
  EXPECT_THAT(refused("[postgres.settings]\narchive_command = \"rm x\"\n"),
              ::testing::AllOf(HasSubstr("pgtwig.toml:2: postgres.settings.archive_command: "),
                               HasSubstr("it runs a program or loads a library")));
  EXPECT_THAT(refused("[postgres.settings]\nport = 5432\n"), HasSubstr("pgtwig sets it itself"));
  EXPECT_THAT(refused("[postgres.settings]\nshared_preload_libraries = \"evil\"\n"),
              ::testing::AllOf(HasSubstr("'evil'"), HasSubstr("pg_stat_statements")));
  EXPECT_THROW(set("", "postgres.settings.restore_command", "true"), Error);
}

TEST_F(ConfigFile, SaysOffForWhatIsNotLimitedOrNotDone) {
  const Config config = load("[wal]\nlimit = 0\narchive = \"on\"\n[snapshots]\nevery = \"off\"\n");
  EXPECT_TRUE(config.wal_archive);
  EXPECT_EQ(config.snapshots_every.count(), 0);
  EXPECT_EQ(config_value(config, "wal.limit"), "off");
  EXPECT_EQ(config_value(config, "snapshots.every"), "off");
  EXPECT_EQ(config_value(config, "wal.archive"), "on");
  EXPECT_EQ(config_value(config, "recovery.window"), "7d");
  EXPECT_THAT(set("", "wal.limit", "off"), HasSubstr("[wal]\nlimit = \"off\"\n"));
  EXPECT_THAT(set("", "wal.archive", "off"), HasSubstr("[wal]\narchive = false\n"));
  EXPECT_THAT(set("", "snapshots.every", "off"), HasSubstr("every = \"off\"\n"));
  EXPECT_THAT(set("", "snapshots.every", "2h 30m"), HasSubstr("every = \"2h 30m\"\n"));
}

TEST_F(ConfigFile, RefusesWhatCannotBeKeptOrDone) {
  EXPECT_THAT(refused("[wal]\narchive = 1\n"), HasSubstr("wal.archive: must be true or false"));
  EXPECT_THAT(refused("[wal]\narchive = \"maybe\"\n"), HasSubstr("not on or off"));
  EXPECT_THAT(refused("[wal]\nlimit = \"much\"\n"), HasSubstr("'much'"));
  EXPECT_THAT(refused("[recovery]\nwindow = \"0s\"\n"), HasSubstr("no time at all"));
  EXPECT_THAT(refused("[recovery]\nwindow = \"off\"\n"), HasSubstr("not a duration"));
  EXPECT_THAT(refused("[snapshots]\nevery = \"often\"\n"), HasSubstr("not a duration"));
  for (const char* rules : {"", ",", "24", "h", "24h,", "0d", "-1d", "24h;7d", "24hours", "1001h", "5y"}) {
    EXPECT_THAT(refused(std::string("[snapshots]\nkeep = \"") + rules + "\"\n"), HasSubstr("snapshots.keep")) << rules;
  }
}

TEST_F(ConfigFile, KeepsCommentsAndOrderWhenAKeyIsSet) {
  const std::string before =
      "# how we run\n"
      "log_level = \"info\"  # quiet\n"
      "\n"
      "[ports]\n"
      "# the team's range\n"
      "first = 7000 # reserved\n"
      "\n"
      "[pool]\n"
      "image_size = \"5G\"\n";
  EXPECT_EQ(set(before, "ports.first", "7100"),
            "# how we run\n"
            "log_level = \"info\"  # quiet\n"
            "\n"
            "[ports]\n"
            "# the team's range\n"
            "first = 7100 # reserved\n"
            "\n"
            "[pool]\n"
            "image_size = \"5G\"\n");
  EXPECT_THAT(set(before, "log_level", "debug"), HasSubstr("log_level = \"debug\"  # quiet\n"));
  EXPECT_THAT(set(before, "ports.last", "7200"), HasSubstr("first = 7000 # reserved\nlast = 7200\n\n[pool]"));
  EXPECT_THAT(set(before, "runtime", "docker"), HasSubstr("# quiet\nruntime = \"docker\"\n\n[ports]"));
  EXPECT_THAT(set(before, "postgres.settings.work_mem", "8MB"),
              HasSubstr("\n\n[postgres.settings]\nwork_mem = \"8MB\"\n"));
}

TEST_F(ConfigFile, IsEditedInWhateverShapeItIsWritten) {
  EXPECT_EQ(set("", "runtime", "docker"), "runtime = \"docker\"\n");
  EXPECT_EQ(set("", "ports.last", "7000"), "[ports]\nlast = 7000\n");
  EXPECT_EQ(set("[ports]\n# none yet", "ports.last", "7000"), "[ports]\nlast = 7000\n# none yet\n");
  EXPECT_EQ(set("ports.first = 6500\n", "ports.last", "7000"), "ports.first = 6500\nports.last = 7000\n");
  EXPECT_EQ(set("ports = { first = 6500, last = 6600 }\n", "ports.last", "7000"),
            "ports = { first = 6500, last = 7000 }\n");
  EXPECT_EQ(set("[postgres]\ndirectories = [\n  \"/é\", # old\n  \"/b\"]  # all\n", "postgres.directories", "/c:/d"),
            "[postgres]\ndirectories = [\"/c\", \"/d\"]  # all\n");
  EXPECT_EQ(set("[postgres.settings]\nlog_line_prefix = \"é\" # x\n", "postgres.settings.log_line_prefix", "\"%m\\"),
            "[postgres.settings]\nlog_line_prefix = \"\\\"%m\\\\\" # x\n");
  EXPECT_EQ(set("[postgres.settings]\npg_stat_statements.max = 5\n", "postgres.settings.pg_stat_statements.max", "6"),
            "[postgres.settings]\npg_stat_statements.max = \"6\"\n");
  EXPECT_EQ(set("[ports]\nfirst = 6500\n\n[pool]\nimage_size = \"1G\"", "pool.default", "fast"),
            "[ports]\nfirst = 6500\n\n[pool]\nimage_size = \"1G\"\ndefault = \"fast\"\n");
}

TEST_F(ConfigFile, LosesTheLinesOfAKeyThatIsUnset) {
  const auto unset = [&](const std::string& before, const std::string& key) {
    write_file(file_, before);
    EXPECT_TRUE(unset_config_value(file_, key));
    return read_file(file_);
  };
  EXPECT_EQ(unset("# ours\n[ports]\n# the team's\nfirst = 7000 # reserved\nlast = 7100\n", "ports.first"),
            "# ours\n[ports]\n# the team's\nlast = 7100\n");
  EXPECT_EQ(unset("runtime = \"docker\"", "runtime"), "");
  EXPECT_EQ(unset("[postgres]\ndirectories = [\n  \"/a\", # old\n  \"/b\"]  # all\n[pool]\n", "postgres.directories"),
            "[postgres]\n[pool]\n");
  EXPECT_EQ(unset("ports = { first = 6500 }\n", "ports.first"), "");
  EXPECT_EQ(unset("[postgres.settings]\npg_stat_statements.max = 5\n", "postgres.settings.pg_stat_statements.max"),
            "[postgres.settings]\n");
  // Also what can't be read as it is.
  EXPECT_EQ(unset("[wal]\nlimit = 4\n[ports]\nfrist = 1\n", "wal.limit"), "[wal]\n[ports]\nfrist = 1\n");
  EXPECT_EQ(unset("[ports]\nfrist = 1\n", "ports.frist"), "[ports]\n");
}

TEST_F(ConfigFile, IsLeftAsItIsWhenAKeyCannotBeUnset) {
  const std::string before = "ports = { first = 6500, last = 6600 }\n";
  write_file(file_, before);
  EXPECT_FALSE(unset_config_value(file_, "runtime"));
  EXPECT_FALSE(unset_config_value(file_, "postgres.settings.jit"));
  EXPECT_THROW(unset_config_value(file_, "runtmie"), Error);
  EXPECT_THROW(unset_config_value(file_, "ports.first"), Error);
  EXPECT_EQ(read_file(file_), before);
}

TEST_F(ConfigFile, ThatCannotBeWrittenIsNotBlamedForItsShape) {
  write_file(file_, "runtime = \"docker\"\nlog_level = \"debug\"\n");
  // As on a full disk.
  const auto before = std::signal(SIGXFSZ, SIG_IGN);
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
  const rlimit nothing{.rlim_cur = 0, .rlim_max = limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &nothing), 0);
  std::string message;
  try {
    unset_config_value(file_, "runtime");
  } catch (const Error& error) {
    message = error.message();
  }
  setrlimit(RLIMIT_FSIZE, &limit);
  std::signal(SIGXFSZ, before);
  EXPECT_THAT(message, ::testing::AllOf(HasSubstr("pgtwig.toml"), ::testing::Not(HasSubstr("written in a way"))));
}

TEST_F(ConfigFile, IsLeftAsItIsWhenTheNewValueIsRefused) {
  const std::string before = "[ports]\nfirst = 7000\n";
  write_file(file_, before);
  EXPECT_THROW(set_config_value(file_, "ports.first", "many"), Error);
  EXPECT_THROW(set_config_value(file_, "ports.last", "6000"), Error);
  EXPECT_THROW(set_config_value(file_, "port.first", "7000"), Error);
  EXPECT_THROW(set_config_value(file_, "postgres.settings.work_mem", "1\n2"), Error);
  EXPECT_EQ(read_file(file_), before);
}

TEST_F(ConfigFile, SaysThatAPairOfPortsIsTheWrongWayRoundWhenOneIsSet) {
  write_file(file_, "[ports]\nfirst = 7000\n");
  try {
    set_config_value(file_, "ports.last", "6000");
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_THAT(error.message(), HasSubstr("ports.last (6000)"));
  }
}

TEST_F(ConfigFile, KeepsItsModeAndALinkToItStaysOne) {
  write_file(file_, "runtime = \"native\"\n", 0640);
  std::filesystem::create_symlink(file_, directory_ / "link");
  set_config_value(directory_ / "link", "runtime", "docker");
  EXPECT_TRUE(std::filesystem::is_symlink(directory_ / "link"));
  EXPECT_EQ(read_file(file_), "runtime = \"docker\"\n");
  struct stat status{};
  ASSERT_EQ(stat(file_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0640u);
}

TEST_F(ConfigFile, IsMadeWithItsFolderWhenThereIsNone) {
  set_config_value(directory_ / "new" / "pgtwig.toml", "runtime", "docker");
  EXPECT_EQ(load_config(directory_ / "new" / "pgtwig.toml", {}).runtime, "docker");
}

TEST_F(ConfigFile, AnswersForUnknownAndUnsetKeys) {
  const Config config = load("");
  EXPECT_THROW(config_value(config, "nonsense"), Error);
  try {
    config_value(config, "port.first");
    ADD_FAILURE() << "known";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_THAT(error.hint(), HasSubstr("ports.first"));
  }
  try {
    config_value(config, "postgres.settings.work_mem");
    ADD_FAILURE() << "set";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::not_found);
  }
}

}  // namespace
}  // namespace pgtwig
