// A PostgreSQL 15 of a test's own, with segments of 1 MiB and names that no shell likes.
#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "archive/helper.h"
#include "archive/local_archive.h"
#include "base/process.h"
#include "tests/support/made_once.h"
#include "tests/support/postgres_user.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/wait.h"

namespace pgtwig::archive::support {

inline constexpr const char* postgres_bin = "/usr/lib/postgresql/15/bin/";

// Where a test keeps its clusters and archives: this program lies in it, since the servers' user can't reach the build.
class Ground {
 public:
  Ground() {
    make(root());
    make(clusters());
    std::filesystem::copy_file("/proc/self/exe", helper());
    std::filesystem::permissions(helper(), std::filesystem::perms(0755));
  }
  std::filesystem::path root() const { return directory_.path() / "it's 100%p \"of\" a $root"; }
  std::filesystem::path helper() const { return root() / "the helper"; }
  // pg_ctl does not quote what it hands to a shell.
  std::filesystem::path clusters() const { return directory_.path() / "clusters"; }
  const OsUser& user() const { return user_; }
  LocalArchive make_archive() const {
    LocalArchive archive(archive_directory(root(), IncarnationId::random()));
    archive.make(user_);
    return archive;
  }
  void make(const std::filesystem::path& directory) const {
    std::filesystem::create_directory(directory);
    give_away(directory);
  }
  void give_away(const std::filesystem::path& path) const {
    if (::geteuid() == 0 && ::lchown(path.c_str(), user_.uid, user_.gid) != 0) {
      throw system_error(errno, "cannot give away " + path.string());
    }
  }
  CommandResult run(std::vector<std::string> argv) const {
    Command command{.argv = std::move(argv), .user = user_};
    return run_command_checked(command, "a test's command failed", ErrorCode::postgres_failed);
  }

 private:
  pgtwig::support::TemporaryDirectory directory_;
  OsUser user_ = pgtwig::support::postgres_user();
};

using Settings = std::map<std::string, std::string>;

class RealCluster {
 public:
  // An existing data directory, or one that initdb makes.
  RealCluster(const Ground& ground, std::string name, int port) : ground_(ground), name_(std::move(name)), port_(port) {
    if (std::filesystem::exists(data())) return;
    // By its name, as each is a cluster with an identifier of its own.
    const auto cluster = pgtwig::support::made_once(name_, [this](const std::filesystem::path& directory) {
      ground_.make(directory);
      ground_.run({std::string(postgres_bin) + "initdb", "-D", directory, "-A", "trust", "-U", "postgres", "--no-sync",
                   "--wal-segsize=1", "--no-locale"});
    });
    pgtwig::support::copy_tree(cluster, data());
  }
  RealCluster(const RealCluster&) = delete;
  RealCluster& operator=(const RealCluster&) = delete;
  ~RealCluster() {
    if (is_running()) stop("immediate");
  }

  std::filesystem::path data() const { return ground_.clusters() / name_; }
  std::filesystem::path pg_wal() const { return data() / "pg_wal"; }
  bool is_running() const { return std::filesystem::exists(data() / "postmaster.pid"); }
  std::uint64_t system_identifier() const {
    const std::string control = read_file(data() / "global/pg_control");
    std::uint64_t identifier = 0;
    std::memcpy(&identifier, control.data(), sizeof identifier);
    return identifier;
  }

  void start(const Settings& settings) const {
    std::string text;
    Settings all{{"port", std::to_string(port_)}, {"unix_socket_directories", ground_.clusters()},
                 {"listen_addresses", ""},        {"fsync", "off"},
                 {"max_wal_size", "4MB"},         {"min_wal_size", "2MB"},
                 {"shared_buffers", "8MB"},       {"hot_standby", "off"}};
    for (const auto& [setting, value] : settings) all[setting] = value;
    for (const auto& [setting, value] : all) text += setting + " = " + quoted(value) + "\n";
    write_file(data() / "postgresql.auto.conf", text);
    ground_.give_away(data() / "postgresql.auto.conf");
    ground_.run({std::string(postgres_bin) + "pg_ctl", "start", "-w", "-t", "60", "-D", data(), "-l", log()});
  }
  void stop(const std::string& mode = "fast") const {
    ground_.run({std::string(postgres_bin) + "pg_ctl", "stop", "-w", "-t", "60", "-m", mode, "-D", data()});
  }
  std::string sql(const std::string& statement) const {
    const CommandResult result =
        ground_.run({std::string(postgres_bin) + "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", ground_.clusters(),
                     "-p", std::to_string(port_), "-U", "postgres", "-d", "postgres", "-c", statement});
    return result.output.substr(0, result.output.find('\n'));
  }
  bool is_promoted() const {
    try {
      return sql("SELECT pg_is_in_recovery()") == "f";
    } catch (const Error&) {
      return false;  // it lets nobody in yet
    }
  }
  Lsn lsn(const std::string& expression) const { return *parse_lsn(sql("SELECT " + expression)); }
  // Ends the current segment and gives its name.
  std::string switch_segment() const {
    const std::string name = sql("SELECT pg_walfile_name(pg_switch_wal())");
    sql("CHECKPOINT");
    return name;
  }
  std::filesystem::path log() const { return ground_.clusters() / (name_ + ".log"); }

 private:
  static std::string quoted(const std::string& value) {
    std::string text = "'";
    for (const char letter : value) text += letter == '\'' ? "''" : std::string(1, letter);
    return text + "'";
  }
  const Ground& ground_;
  std::string name_;
  int port_;
};

}  // namespace pgtwig::archive::support
