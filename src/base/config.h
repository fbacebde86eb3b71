// What can be configured, and where a value came from. Precedence: flag, environment, file, default; an unknown key is
// an error.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace pgtwig {

// An automatic pool image smaller than this would be of no use to anyone.
inline constexpr Bytes smallest_automatic_image = 1_GiB;

struct PortRange {
  std::uint16_t first = 6001;
  std::uint16_t last = 9999;
};

struct Config {
  std::string pool;                                      // [pool] default; empty: chosen or made
  Bytes pool_image_size = 60_GiB;                        // [pool] image_size: the automatic image is never larger
  std::string runtime = "native";                        // runtime
  PortRange ports;                                       // [ports] first, last
  std::string log_level = "info";                        // log_level
  std::vector<std::string> postgres_directories;         // [postgres] directories: more places to look for bin/postgres
  std::map<std::string, std::string> postgres_settings;  // [postgres.settings] for every branch
  // [postgres] conf_file, hba_file, ident_file: the user's own, for every branch; else those of config_directory
  std::string postgres_conf_file;
  std::string postgres_hba_file;
  std::string postgres_ident_file;
  std::string postgres_config_directory;
  std::string branch_shared_buffers = "16MB";    // [branch] shared_buffers: of every branch but main unless set
  std::chrono::seconds branch_suspend_after{0};  // [branch] suspend_after: when unused for so long; zero: off
  std::string container_image;                   // [container] image: of new projects; empty: postgres:VERSION
  std::string container_network = "host";        // [container] network: host or bridge
  bool wal_archive = true;                       // [wal] archive: of every branch that is durable
  Bytes wal_limit = 4_GiB;                       // [wal] limit: of each branch's archive; zero: none
  std::chrono::seconds recovery_window = std::chrono::hours(24 * 7);  // [recovery] window: WAL is kept this long
  std::chrono::seconds snapshots_every = std::chrono::hours(1);  // [snapshots] every: of each project's main; zero: off
  std::string snapshots_keep = "24h,14d,8w";                     // [snapshots] keep
  struct Proxy {
    bool is_enabled = false;           // [proxy] enabled
    std::string listen = "127.0.0.1";  // [proxy] listen: a numeric address
    std::uint16_t port = 5432;         // [proxy] port
    std::string domain = "localhost";  // [proxy] domain: host names are <branch>.<project>.<domain>
    bool database_is_branch = false;   // [proxy] database_is_branch
    std::string tls_certificate;       // [proxy] tls_certificate, tls_key: files; empty: by the own authority
    std::string tls_key;
  };
  Proxy proxy;  // the one endpoint for all branches
  struct Metrics {
    bool is_enabled = false;           // [metrics] enabled
    std::string listen = "127.0.0.1";  // [metrics] listen: a numeric address
    std::uint16_t port = 9543;         // [metrics] port
  };
  Metrics metrics;                             // for Prometheus, by HTTP
  std::map<std::string, std::string> origins;  // key -> "default", "file", "environment"
};

struct ConfigKey {
  std::string name;         // "ports.first"
  std::string description;  // one line
};
// Every key there is, for `config list` and completion. "postgres.settings.<name>" stands for any PostgreSQL setting.
const std::vector<ConfigKey>& config_keys();

// Throws Error invalid_argument when PGTWIG_CONFIG names a file that is not there: only the usual one may be absent.
void require_named_config(const std::map<std::string, std::string>& environment);
// Reads the file and the environment. Throws Error invalid_argument naming file, line and key, and as
// require_named_config().
Config load_config(const std::filesystem::path& file, const std::map<std::string, std::string>& environment);
// The value of one key as text; throws Error invalid_argument with the nearest keys when there is none.
std::string config_value(const Config& config, const std::string& key);
// Sets one key in the file, checked first, durably; comments and order of the other lines are kept.
void set_config_value(const std::filesystem::path& file, const std::string& key, const std::string& value);
// Takes one key out of the file, so that it has its default, and keeps the other lines; whether it was there. The file
// may hold values that are refused, of this key or others.
bool unset_config_value(const std::filesystem::path& file, const std::string& key);
// Puts `text` in place of the whole file, checked first, durably. Throws Error invalid_argument naming `file`, line and
// key.
void replace_config(const std::filesystem::path& file, const std::string& text);

}  // namespace pgtwig
