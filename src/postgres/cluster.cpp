// See cluster.h: making a cluster.
#include "postgres/cluster.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string_view>

#include "base/fs.h"
#include "base/log.h"
#include "postgres/connection.h"

namespace pgtwig::postgres {
namespace {

using std::filesystem::path;
using namespace std::chrono_literals;

// A slow disk under load; initdb takes a second elsewhere.
constexpr auto init_timeout = 300s;

// Owned by the cluster's user, and empty.
void make_data_directory(const path& directory, const OsUser& user) {
  if (::mkdir(directory.c_str(), 0700) != 0) {
    if (errno == EEXIST) throw Error(ErrorCode::already_exists, fmt::format("{} exists already", directory.string()));
    throw system_error(errno, fmt::format("cannot make {}", directory.string()));
  }
  const UniqueFd fd = open_directory(directory);
  if (user.uid != ::geteuid() && ::fchown(fd.get(), user.uid, user.gid) != 0) {
    throw system_error(errno, fmt::format("cannot give {} to {}", directory.string(), user.name));
  }
}

// The password as a file that exists in memory only: initdb opens it anew, as its own user, by /dev/stdin.
UniqueFd make_password_file(const std::string& password, const OsUser& user) {
  UniqueFd fd(::memfd_create("password", MFD_CLOEXEC));
  const std::string line = password + "\n";
  if (!fd || ::write(fd.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size()) ||
      ::lseek(fd.get(), 0, SEEK_SET) != 0 || ::fchmod(fd.get(), 0400) != 0 ||
      (user.uid != ::geteuid() && ::fchown(fd.get(), user.uid, user.gid) != 0)) {
    throw system_error(errno, "cannot hand a password to initdb");
  }
  return fd;
}

void run_initdb(const Installation& installation, const InitOptions& options) {
  const UniqueFd password_file = make_password_file(options.password, options.user);
  Command command;
  command.argv = {installation.program("initdb").string(),
                  "-D",
                  options.data_directory.string(),
                  "-U",
                  "postgres",
                  "--data-checksums",
                  "--wal-segsize=4",  // MiB: the last one is copied when a recovery ends
                  "--auth=scram-sha-256",
                  "--pwfile=/dev/stdin",
                  "--encoding=UTF8",
                  "--locale=" + options.locale,
                  "--no-sync",
                  "--no-instructions"};
  command.user = options.user;
  command.environment = {{"LC_ALL", "C"}};
  command.input_fd = password_file.get();
  command.timeout = init_timeout;
  try {
    run_command_checked(installation.entered(std::move(command), {options.data_directory}),
                        "cannot make the database cluster", ErrorCode::postgres_failed);
  } catch (const Error& error) {
    if (error.message().find("invalid locale") == std::string::npos) throw;
    throw Error(ErrorCode::invalid_argument, fmt::format("PostgreSQL cannot use the locale '{}'", options.locale),
                "choose one that `locale -a` lists, or C.UTF-8");
  }
}

// initdb writes the sizes that it found to work as if somebody had chosen them; commented out, they leave the word to
// the defaults of pgtwig, which a branch is given below this file.
void leave_sizes_to_defaults(const path& data_directory, const OsUser& user) {
  const UniqueFd directory = open_directory(data_directory);
  const std::string text = read_file_beneath(directory.get(), "postgresql.conf").value_or("");
  std::string edited;
  std::string_view rest = text;
  while (!rest.empty()) {
    const auto length = std::min(rest.find('\n'), rest.size() - 1) + 1;
    const std::string_view line = rest.substr(0, length);
    for (const std::string_view name : {"shared_buffers", "max_connections", "max_wal_size", "min_wal_size"}) {
      if (line.starts_with(fmt::format("{} =", name))) edited += '#';
    }
    edited += line;
    rest.remove_prefix(length);
  }
  write_file_durably_at(directory.get(), "postgresql.conf", edited, 0600, FileOwner{user.uid, user.gid});
}

void sync_file_system(const path& directory) {
  const UniqueFd fd = open_directory(directory);
  if (::syncfs(fd.get()) != 0) {
    throw system_error(errno, fmt::format("cannot sync the file system of {}", directory.string()));
  }
}

}  // namespace

void create_admin_role(const Installation& installation, const path& data_directory, const OsUser& user,
                       const SettingList& settings) {
  Command command;
  command.argv = {installation.program("postgres").string(), "--single", "-D", data_directory.string()};
  SettingList all = settings;
  const std::string directory = data_directory.string();
  const SettingList own = {{"config_file", directory + "/postgresql.conf"},
                           {"data_directory", directory},
                           {"hba_file", directory + "/pg_hba.conf"},
                           {"ident_file", directory + "/pg_ident.conf"},
                           {"external_pid_file", ""},
                           {"shared_preload_libraries", ""},
                           {"archive_mode", "off"},
                           {"logging_collector", "off"},
                           {"log_destination", "stderr"},
                           {"exit_on_error", "on"}};
  all.insert(all.end(), own.begin(), own.end());
  for (const auto& [name, value] : all) {
    command.argv.emplace_back("-c");
    command.argv.push_back(fmt::format("{}={}", name, value));
  }
  command.argv.emplace_back("postgres");
  command.user = user;
  command.environment = {{"LC_ALL", "C"}};
  // A single-user session takes each line as one statement.
  command.input = fmt::format(
      "DO $do$ BEGIN IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '{0}') THEN CREATE ROLE {0}; END "
      "IF; END $do$\n"
      "ALTER ROLE {0} WITH LOGIN SUPERUSER CONNECTION LIMIT -1 PASSWORD NULL VALID UNTIL 'infinity'\n"
      "COMMENT ON ROLE {0} IS 'pgtwig itself; it can be reached by no password and from no network'\n",
      admin_role);
  command.timeout = init_timeout;
  run_command_checked(installation.entered(std::move(command), {data_directory}),
                      fmt::format("cannot make the role {}", admin_role), ErrorCode::postgres_failed);
}

void init_cluster(const Installation& installation, const InitOptions& options) {
  make_data_directory(options.data_directory, options.user);
  try {
    run_initdb(installation, options);
    leave_sizes_to_defaults(options.data_directory, options.user);
    create_admin_role(installation, options.data_directory, options.user, {{"fsync", "off"}});
    if (options.is_synced) sync_file_system(options.data_directory);
  } catch (...) {
    const std::exception_ptr failure = std::current_exception();
    try {
      remove_tree(options.data_directory);
    } catch (const Error& error) {
      log::warn("cannot clean up after a failed initdb: {}", error.message());
    }
    std::rethrow_exception(failure);
  }
}

}  // namespace pgtwig::postgres
