// Making a cluster, and the configuration that every start of it is given.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/process.h"
#include "postgres/installation.h"

namespace pgtwig::postgres {

using SettingList = std::vector<std::pair<std::string, std::string>>;

struct InitOptions {
  std::filesystem::path data_directory;  // made by initdb, 0700
  OsUser user;                           // who owns it
  std::string password;                  // of role postgres
  std::string locale = "C.UTF-8";
  bool is_synced = true;  // on disk when init_cluster() returns; what a test throws away need not be
};

// initdb with data checksums, UTF-8 and SCRAM, then the reserved admin role (by a single-user session, so that no
// server is ever open without a password). Nothing is left behind on failure.
// Sizes in its postgresql.conf (shared_buffers, max_connections, *_wal_size) are commented out, so that the defaults of
// an InstanceConfiguration decide them. Throws Error already_exists, invalid_argument for an unknown locale.
void init_cluster(const Installation& installation, const InitOptions& options);

// Makes the admin role, or mends it, in a cluster that is stopped: one made elsewhere, or one whose user dropped it.
// `settings` are for this single-user session.
void create_admin_role(const Installation& installation, const std::filesystem::path& data_directory,
                       const OsUser& user, const SettingList& settings = {});

// check_user_setting() for every line of a postgresql.conf, in which what pgtwig sets itself may stand: it has no
// effect. Includes are refused.
void check_user_configuration(const std::string& text);

// What pgtwig gives every instance unless its configuration says otherwise: for InstanceConfiguration::defaults.
SettingList default_settings(int pg_major, bool copy_on_write);
// How a start after a crash or fork syncs the data directory, as an override: all of its file system by one call, or
// file by file. Empty for a PostgreSQL without the choice (before 14).
SettingList recovery_sync_overrides(int pg_major, bool whole_file_system);

struct InstanceFiles {
  std::filesystem::path directory;  // Paths::instance(id), owned by the daemon
  std::filesystem::path socket_directory() const { return directory / "s"; }  // 0700, owned by the instance's user
  std::filesystem::path config_file() const { return directory / "postgresql.conf"; }
  std::filesystem::path hba_file() const { return directory / "pg_hba.conf"; }
  std::filesystem::path ident_file() const { return directory / "pg_ident.conf"; }
  // Of the files of a user's that are called `name`.
  std::filesystem::path user_conf_file(const std::string& name) const { return directory / (name + ".conf"); }
};

// The configuration files that users can keep themselves.
inline constexpr const char* conf_file_name = "postgresql.conf";
inline constexpr const char* hba_file_name = "pg_hba.conf";
inline constexpr const char* ident_file_name = "pg_ident.conf";

// Those of one who keeps some: file name -> text.
struct UserFiles {
  std::string name;  // whose: "installation", "project"
  std::map<std::string, std::string> texts = {};

  const std::string* find(const std::string& file_name) const {
    const auto found = texts.find(file_name);
    return found == texts.end() ? nullptr : &found->second;
  }
};

struct InstanceConfiguration {
  InstanceFiles files;
  std::filesystem::path data_directory;
  OsUser user;    // of the instance
  OsUser daemon;  // who may be the admin role
  std::uint16_t port = 0;
  std::string listen_addresses = "127.0.0.1";
  bool clients_are_local = true;  // false: passwords are asked of clients from any address
  std::string cluster_name;       // "demo/dev", cut to what PostgreSQL takes
  SettingList defaults;  // below everything: written to the generated postgresql.conf before the data directory's own
  SettingList user_settings;  // --set of installation, project, branch: command line
  SettingList overrides;      // hygiene and durability: command line
  int pg_major = 0;
  // A postgresql.conf is included after the data directory's own and those before it here, below the command line; a
  // pg_ident.conf comes after pgtwig's own map; of several pg_hba.conf the last says who may connect, instead of:
  // everybody by password. pgtwig's own role comes before.
  std::vector<UserFiles> user_files = {};
};

// Makes the instance's directory with its socket directory and generated files, for a start: postgresql.conf (defaults,
// then the data directory's own postgresql.conf by include), pg_hba.conf (admin role: peer on the private socket and
// nothing else; everyone: SCRAM), pg_ident.conf. Refuses, as Error not_allowed, a data directory whose configuration
// includes absolute paths outside of it.
void write_instance_files(const InstanceConfiguration& configuration);
// The `-c` settings of a start, identity last so that nothing inherited or set wins over it: data_directory,
// config_file, hba_file, ident_file, external_pid_file, unix_socket_directories, listen_addresses=127.0.0.1, port,
// cluster_name, logging destination, ssl files.
SettingList command_line_settings(const InstanceConfiguration& configuration);

}  // namespace pgtwig::postgres
