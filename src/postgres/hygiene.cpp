// See hygiene.h.
#include "postgres/hygiene.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string_view>

#include "base/error.h"
#include "base/fs.h"
#include "base/text.h"
#include "postgres/configuration_file.h"
#include "postgres/control_file.h"

namespace pgtwig::postgres {
namespace {

using std::filesystem::path;

// Of the slots that pgtwig itself makes while it copies a server.
constexpr std::string_view own_slot_prefix = "pgtwig_copy_";

struct Entry {
  std::string name;
  bool is_link;
};

UniqueFd open_subdirectory(int directory, const path& relative) {
  return open_beneath(directory, relative, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

bool is_there(int directory, const char* name) {
  struct stat status{};
  return ::fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

std::vector<Entry> entries_of(int directory) {
  UniqueFd own = open_subdirectory(directory, ".");
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(own.get()), ::closedir);
  if (!stream) throw system_error(errno, "cannot read a directory");
  own.release();
  std::vector<Entry> entries;
  while (const dirent* entry = ::readdir(stream.get())) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    bool is_link = entry->d_type == DT_LNK;
    if (entry->d_type == DT_UNKNOWN) {
      struct stat status{};
      is_link = ::fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(status.st_mode);
    }
    entries.push_back({.name = name, .is_link = is_link});
  }
  return entries;
}

std::string link_target(int directory, const std::string& name) {
  std::array<char, 4096> target{};
  const ssize_t length = ::readlinkat(directory, name.c_str(), target.data(), target.size());
  return length < 0 ? "?" : std::string(target.data(), static_cast<std::size_t>(length));
}

// A link in a data directory leads to the source's files, or to nobody knows what: an instance on this copy would
// write there. Certificates are only read, and pgtwig's instances do not use them.
void refuse_links(int directory, const std::string& shown, std::string_view what) {
  static constexpr auto harmless =
      std::to_array<std::string_view>({"server.crt", "server.key", "root.crt", "root.crl"});
  for (const Entry& entry : entries_of(directory)) {
    if (!entry.is_link || std::ranges::find(harmless, entry.name) != harmless.end()) continue;
    throw Error(ErrorCode::not_allowed,
                fmt::format("{}{} is a link to {}: {}", shown, entry.name, link_target(directory, entry.name), what),
                "bring everything into the data directory of the source first");
  }
}

}  // namespace

void refuse_external_tablespaces(int data_directory) {
  refuse_links(open_subdirectory(data_directory, "pg_tblspc").get(), "pg_tblspc/",
               "tablespaces outside of the data directory cannot be branched");
}

namespace {

void refuse_what_lies_outside(int data_directory) {
  refuse_links(data_directory, "", "a branch would share it with its parent");
  refuse_links(open_subdirectory(data_directory, "base").get(), "base/", "a branch would share it with its parent");
  refuse_external_tablespaces(data_directory);
}

void remove_file(int directory, const char* name) {
  if (::unlinkat(directory, name, 0) != 0 && errno != ENOENT) {
    throw system_error(errno, fmt::format("cannot remove {}", name));
  }
}

// The directory itself stays.
void empty_directory(int data_directory, const char* name) {
  if (!is_there(data_directory, name)) return;
  const UniqueFd directory = open_subdirectory(data_directory, name);
  for (const Entry& entry : entries_of(directory.get())) remove_tree_at(directory.get(), entry.name);
}

void remove_temporary_files(int data_directory) {
  remove_tree_at(open_subdirectory(data_directory, "base").get(), "pgsql_tmp");
  const UniqueFd tablespaces = open_subdirectory(data_directory, "pg_tblspc");
  for (const Entry& tablespace : entries_of(tablespaces.get())) {
    const UniqueFd in_place = open_subdirectory(tablespaces.get(), tablespace.name);
    for (const Entry& version : entries_of(in_place.get())) {
      remove_tree_at(open_subdirectory(in_place.get(), version.name).get(), "pgsql_tmp");
    }
  }
}

// What the source's configuration would have done to the world, by the names of isolation_overrides().
void add_held_back_settings(const std::map<std::string, std::string>& settings, std::vector<std::string>& held_back) {
  const auto is_set = [&settings](const char* name) {
    const auto found = settings.find(name);
    return found != settings.end() && !found->second.empty();
  };
  const auto mode = settings.find("archive_mode");
  const bool archives = mode != settings.end() && (mode->second.starts_with("on") || mode->second == "always" ||
                                                   mode->second == "true" || mode->second == "1");
  if (archives && (is_set("archive_command") || is_set("archive_library"))) held_back.emplace_back("archive_command");
  if (is_set("restore_command")) held_back.emplace_back("restore_command");
  if (is_set("primary_conninfo")) held_back.emplace_back("primary_conninfo");
  if (is_set("synchronous_standby_names")) held_back.emplace_back("synchronous_standby_names");
  const auto libraries = settings.find("shared_preload_libraries");
  if (libraries != settings.end() && libraries->second.find("pg_cron") != std::string::npos) {
    held_back.emplace_back("cron jobs");
  }
}

// The file number of a shared catalog, from global/pg_filenode.map (RelMapFile in
// src/backend/utils/cache/relmapper.c: magic, count, pairs of catalog and file number).
std::optional<std::uint32_t> mapped_file_number(std::string_view map, std::uint32_t catalog) {
  constexpr std::uint32_t magic = 0x592717;
  constexpr std::size_t header = 8;
  constexpr std::size_t pair = 8;
  const auto number_at = [map](std::size_t offset) {
    std::uint32_t number = 0;
    if (offset + sizeof number <= map.size()) std::memcpy(&number, map.data() + offset, sizeof number);
    return number;
  };
  if (number_at(0) != magic) return std::nullopt;
  const std::size_t count = number_at(4);
  for (std::size_t index = 0; index < count && header + (index + 1) * pair <= map.size(); ++index) {
    if (number_at(header + index * pair) == catalog) return number_at(header + index * pair + 4);
  }
  return std::nullopt;
}

// Whether pg_subscription may have rows. Before recovery its file may be behind the WAL, so then they may.
bool may_have_subscriptions(int data_directory) {
  constexpr std::uint32_t pg_subscription = 6100;
  if (!read_control_file(data_directory).was_cleanly_shut_down()) return true;
  const auto map = read_file_beneath(data_directory, "global/pg_filenode.map");
  const auto file = map ? mapped_file_number(*map, pg_subscription) : std::nullopt;
  if (!file) return true;
  struct stat status{};
  const UniqueFd global = open_subdirectory(data_directory, "global");
  return ::fstatat(global.get(), std::to_string(*file).c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0 ||
         status.st_size > 0;
}

struct Isolation {
  const char* held_back;  // what the user allows to let these through
  std::vector<std::pair<std::string, std::string>> settings;
};

}  // namespace

std::vector<std::string> paths_left_out_of_a_fork() {
  return {"data/postmaster.pid", "data/postmaster.opts", "data/pg_replslot/*",
          "data/pg_stat_tmp/*",  "data/pg_dynshmem/*",   "data/base/pgsql_tmp/*"};
}

std::vector<std::string> held_back_slots(int data_directory) {
  std::vector<std::string> slots;
  for (const Entry& slot : entries_of(open_subdirectory(data_directory, "pg_replslot").get())) {
    if (slot.name.starts_with(own_slot_prefix)) continue;
    slots.push_back("replication slot: " + on_one_line(slot.name));
  }
  return slots;
}

ForkFindings clean_fork(int data_directory) {
  refuse_what_lies_outside(data_directory);
  ForkFindings findings;
  const bool was_standby = is_there(data_directory, "standby.signal");
  for (const char* file : {"postmaster.pid", "postmaster.opts", "standby.signal", "recovery.signal"}) {
    remove_file(data_directory, file);
  }
  findings.held_back = held_back_slots(data_directory);
  empty_directory(data_directory, "pg_replslot");
  empty_directory(data_directory, "pg_stat_tmp");
  empty_directory(data_directory, "pg_dynshmem");
  // What the source's archiver has done, or was going to do, is nothing to the branch's own.
  empty_directory(data_directory, "pg_wal/archive_status");
  remove_temporary_files(data_directory);
  if (was_standby) findings.held_back.emplace_back("standby");
  add_held_back_settings(read_configuration(data_directory), findings.held_back);
  findings.maybe_has_subscriptions = may_have_subscriptions(data_directory);
  return findings;
}

std::vector<std::uint32_t> databases_with_unlogged_relations(int data_directory) {
  std::vector<std::uint32_t> databases;
  const UniqueFd base = open_subdirectory(data_directory, "base");
  for (const Entry& database : entries_of(base.get())) {
    std::uint32_t oid = 0;
    const auto [end, error] = std::from_chars(database.name.data(), database.name.data() + database.name.size(), oid);
    if (error != std::errc() || *end != '\0' || database.is_link) continue;
    const auto files = entries_of(open_subdirectory(base.get(), database.name).get());
    if (std::ranges::any_of(files, [](const Entry& file) { return file.name.ends_with("_init"); })) {
      databases.push_back(oid);
    }
  }
  return databases;
}

SettingList isolation_overrides(int pg_major, bool subscriptions_off, const std::vector<std::string>& allowed) {
  std::vector<Isolation> all = {
      {"archive_command", {{"archive_mode", "off"}, {"archive_command", ""}}},
      {"restore_command", {{"restore_command", ""}, {"archive_cleanup_command", ""}, {"recovery_end_command", ""}}},
      {"primary_conninfo", {{"primary_conninfo", ""}, {"primary_slot_name", ""}}},
      {"synchronous_standby_names", {{"synchronous_standby_names", ""}}},
      // Known only to pg_cron; elsewhere a setting of an extension that is not loaded, which does nothing.
      {"cron jobs", {{"cron.launch_active_jobs", "off"}}}};
  constexpr int first_with_archive_library = 15;
  if (pg_major >= first_with_archive_library) all.front().settings.emplace_back("archive_library", "");
  SettingList overrides;
  for (const Isolation& isolation : all) {
    if (std::ranges::find(allowed, isolation.held_back) != allowed.end()) continue;
    overrides.insert(overrides.end(), isolation.settings.begin(), isolation.settings.end());
  }
  if (subscriptions_off) overrides.emplace_back("max_logical_replication_workers", "0");
  return overrides;
}

std::vector<std::string> disable_subscriptions(const std::function<Connection(const std::string& database)>& connect) {
  std::map<std::string, std::vector<std::string>> by_database;
  for (const Row& row : connect("template1")
                            .query("SELECT d.datname, s.subname FROM pg_subscription s JOIN pg_database "
                                   "d ON d.oid = s.subdbid ORDER BY 1, 2")) {
    by_database[row[0].value()].push_back(row[1].value());
  }
  std::vector<std::string> names;
  for (const auto& [database, subscriptions] : by_database) {
    Connection connection = connect(database);
    for (const std::string& name : subscriptions) {
      connection.query(fmt::format("ALTER SUBSCRIPTION {} DISABLE", quote_identifier(name)));
      connection.query(fmt::format("ALTER SUBSCRIPTION {} SET (slot_name = NONE)", quote_identifier(name)));
      // A table whose first copy is under way has a slot of its own at the publisher, which DROP SUBSCRIPTION would
      // drop by a name that the parent uses too. A refresh begins the copy anew.
      connection.query(
          "DELETE FROM pg_subscription_rel WHERE srsubstate NOT IN ('r', 's') AND srsubid = (SELECT oid FROM "
          "pg_subscription WHERE subname = $1 AND subdbid = (SELECT oid FROM pg_database WHERE datname = $2))",
          {name, database});
      names.push_back(name);
    }
  }
  return names;
}

}  // namespace pgtwig::postgres
