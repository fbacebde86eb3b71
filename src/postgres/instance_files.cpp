// See cluster.h: what an instance is started with.
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <ranges>
#include <span>
#include <string_view>

#include "base/fs.h"
#include "base/ids.h"
#include "postgres/cluster.h"
#include "postgres/configuration_file.h"
#include "postgres/connection.h"

namespace pgtwig::postgres {
namespace {

using std::filesystem::path;

// NAMEDATALEN - 1.
constexpr std::size_t longest_cluster_name = 63;

// A value in a configuration file; a line break would begin another setting.
std::string quote_value(const std::string& value) {
  if (value.find_first_of("\r\n") != std::string::npos) {
    throw Error(ErrorCode::invalid_argument, "a PostgreSQL setting must be one line");
  }
  std::string quoted = "'";
  for (const char c : value) {
    if (c == '\'' || c == '\\') quoted += c;
    quoted += c;
  }
  return quoted + "'";
}

std::string configuration_text(const InstanceConfiguration& configuration) {
  std::string text = "# Made by pgtwig at each start of this instance; changes here are lost.\n";
  for (const auto& [name, value] : configuration.defaults) text += fmt::format("{} = {}\n", name, quote_value(value));
  text +=
      fmt::format("include_if_exists = {}\n", quote_value((configuration.data_directory / "postgresql.conf").string()));
  for (const UserFiles& user : configuration.user_files) {
    if (!user.find(conf_file_name)) continue;
    text += fmt::format("include = {}\n", quote_value(configuration.files.user_conf_file(user.name).string()));
  }
  return text;
}

// The first line that matches decides. The admin role has one way in, and a password is no other.
std::string hba_text(const InstanceConfiguration& configuration, const std::string& admin_map) {
  std::string text = fmt::format(
      "# Made by pgtwig at each start of this instance; changes here are lost.\n"
      "local all         {0} peer map={1}\n"
      "local replication {0} reject\n"
      "host  all         {0} all reject\n"
      "host  replication {0} all reject\n",
      admin_role, admin_map);
  for (const UserFiles& user : configuration.user_files | std::views::reverse) {
    if (const std::string* own = user.find(hba_file_name)) return text + *own;
  }
  text += "local all         all scram-sha-256\nlocal replication all scram-sha-256\n";
  static constexpr auto local = std::to_array<std::string_view>({"127.0.0.1/32", "::1/128"});
  static constexpr auto any = std::to_array<std::string_view>({"all"});
  for (const std::string_view address :
       configuration.clients_are_local ? std::span<const std::string_view>(local) : any) {
    text += fmt::format("host  all         all {0} scram-sha-256\nhost  replication all {0} scram-sha-256\n", address);
  }
  return text;
}

std::string ident_text(const InstanceConfiguration& configuration, const std::string& admin_map) {
  std::string text = fmt::format("# Made by pgtwig: who may be its admin role.\n{} \"{}\" {}\n", admin_map,
                                 configuration.daemon.name, admin_role);
  for (const UserFiles& user : configuration.user_files) {
    if (const std::string* own = user.find(ident_file_name)) text += *own;
  }
  return text;
}

// Owned by the caller and readable by the instance's user, who must not be able to write it.
void set_access(const path& target, const OsUser& user, mode_t own_mode, mode_t shared_mode) {
  const bool is_own = user.uid == ::geteuid();
  if (!is_own && ::chown(target.c_str(), static_cast<uid_t>(-1), user.gid) != 0) {
    throw system_error(errno, fmt::format("cannot let {} read {}", user.name, target.string()));
  }
  if (::chmod(target.c_str(), is_own ? own_mode : shared_mode) != 0) {
    throw system_error(errno, fmt::format("cannot set the permissions of {}", target.string()));
  }
}

void make_socket_directory(const path& directory, const OsUser& user) {
  make_directories(directory, 0700);
  if (user.uid != ::geteuid() && ::chown(directory.c_str(), user.uid, user.gid) != 0) {
    throw system_error(errno, fmt::format("cannot give {} to {}", directory.string(), user.name));
  }
}

void write_shared_file(const path& file, const std::string& text, const OsUser& user) {
  write_file(file, text, 0600);
  set_access(file, user, 0600, 0640);
}

// Whole UTF-8 characters only: PostgreSQL would show half a one as '?'.
std::string cut_cluster_name(std::string name) {
  if (name.size() <= longest_cluster_name) return name;
  std::size_t length = longest_cluster_name;
  const auto is_continuation = [&](std::size_t at) { return (static_cast<unsigned char>(name[at]) & 0xC0) == 0x80; };
  while (length > 0 && is_continuation(length)) --length;
  name.resize(length);
  return name;
}

}  // namespace

void write_instance_files(const InstanceConfiguration& configuration) {
  // Read for what it refuses: an include that leads out of the volume.
  read_configuration(open_directory(configuration.data_directory).get(), configuration.data_directory);
  const InstanceFiles& files = configuration.files;
  make_directories(files.directory, 0700);
  set_access(files.directory, configuration.user, 0700, 0750);
  make_socket_directory(files.socket_directory(), configuration.user);
  write_shared_file(files.config_file(), configuration_text(configuration), configuration.user);
  // Nobody knows this name ahead, so no pg_ident.conf of a user's can add to what is mapped by it.
  const std::string admin_map = "pgtwig-" + random_hex_128();
  write_shared_file(files.hba_file(), hba_text(configuration, admin_map), configuration.user);
  write_shared_file(files.ident_file(), ident_text(configuration, admin_map), configuration.user);
  for (const UserFiles& user : configuration.user_files) {
    if (const std::string* own = user.find(conf_file_name)) {
      write_shared_file(files.user_conf_file(user.name), *own, configuration.user);
    }
  }
}

SettingList command_line_settings(const InstanceConfiguration& configuration) {
  SettingList settings = configuration.user_settings;
  settings.insert(settings.end(), configuration.overrides.begin(), configuration.overrides.end());
  const InstanceFiles& files = configuration.files;
  const SettingList identity = {
      {"data_directory", configuration.data_directory.string()},
      {"config_file", files.config_file().string()},
      {"hba_file", files.hba_file().string()},
      {"ident_file", files.ident_file().string()},
      {"external_pid_file", (files.socket_directory() / "postmaster.pid").string()},  // never the inherited one
      {"unix_socket_directories", files.socket_directory().string()},
      {"unix_socket_group", ""},
      {"unix_socket_permissions", "0777"},
      {"listen_addresses", configuration.listen_addresses},
      {"port", std::to_string(configuration.port)},
      {"cluster_name", cut_cluster_name(configuration.cluster_name)},
      {"bonjour", "off"},
      {"logging_collector", "off"},
      {"log_destination", "stderr"},
      {"log_directory", "log"},
      {"ssl", "off"}};
  settings.insert(settings.end(), identity.begin(), identity.end());
  constexpr int last_with_statistics_files = 14;
  if (configuration.pg_major <= last_with_statistics_files) {
    settings.emplace_back("stats_temp_directory", "pg_stat_tmp");
  }
  return settings;
}

}  // namespace pgtwig::postgres
