#include "base/user_setting.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "base/error.h"

namespace pgtwig {

namespace {

constexpr std::string_view pgtwig_sets_it = "pgtwig sets it itself";
constexpr std::string_view goes_outside = "a branch would touch things outside itself";
constexpr std::string_view sets_port = "pgtwig sets it itself (--port)";
constexpr std::string_view runs_programs = "it runs a program or loads a library";
constexpr std::string_view is_durability = "it is decided by the branch's durability";
constexpr std::string_view includes_files = "it includes a file that nobody has looked at";
constexpr std::string_view hides_damage = "it hides or makes damage to the data";

struct Refusal {
  std::string_view name;
  std::string_view reason;
};

// Everything in PostgreSQL 14 to 18 that says who an instance is, names a file or a program outside of the data
// directory, or trades data for speed.
constexpr auto refusals = std::to_array<Refusal>({
    {"port", sets_port},
    {"listen_addresses", pgtwig_sets_it},
    {"cluster_name", pgtwig_sets_it},
    {"data_directory", pgtwig_sets_it},
    {"config_file", pgtwig_sets_it},
    {"hba_file", pgtwig_sets_it},
    {"ident_file", pgtwig_sets_it},
    {"external_pid_file", pgtwig_sets_it},
    {"bonjour", pgtwig_sets_it},
    {"bonjour_name", pgtwig_sets_it},
    {"event_source", pgtwig_sets_it},
    {"log_destination", pgtwig_sets_it},
    {"logging_collector", pgtwig_sets_it},
    {"log_directory", pgtwig_sets_it},
    {"log_filename", pgtwig_sets_it},
    {"log_file_mode", pgtwig_sets_it},
    {"ssl", pgtwig_sets_it},
    {"stats_temp_directory", pgtwig_sets_it},
    {"recovery_init_sync_method", pgtwig_sets_it},
    {"include", includes_files},
    {"include_dir", includes_files},
    {"include_if_exists", includes_files},
    {"krb_server_keyfile", goes_outside},
    {"primary_conninfo", goes_outside},
    {"primary_slot_name", goes_outside},
    {"promote_trigger_file", goes_outside},
    {"archive_mode", goes_outside},
    {"dynamic_library_path", runs_programs},
    {"extension_control_path", runs_programs},
    {"extension_destdir", runs_programs},
    {"jit_provider", runs_programs},
    {"plperl.on_init", runs_programs},
    {"plperl.on_plperl_init", runs_programs},
    {"plperl.on_plperlu_init", runs_programs},
    {"cron.host", goes_outside},
    {"fsync", is_durability},
    {"full_page_writes", is_durability},
    {"synchronous_commit", "it is decided by the branch's durability (--durability relaxed)"},
    {"data_sync_retry", hides_damage},
    {"ignore_checksum_failure", hides_damage},
    {"ignore_invalid_pages", hides_damage},
    {"ignore_system_indexes", hides_damage},
    {"zero_damaged_pages", hides_damage},
});

struct RefusedPart {
  std::string_view text;
  std::string_view reason;
};
constexpr auto refused_prefixes = std::to_array<RefusedPart>({
    {"ssl_", pgtwig_sets_it},
    {"syslog_", pgtwig_sets_it},
    {"unix_socket_", pgtwig_sets_it},
    {"recovery_target", "points in time are chosen when a branch is made"},
    {"archive_", goes_outside},
    {"pljava.", runs_programs},
});
constexpr auto refused_parts = std::to_array<RefusedPart>({
    {"_command", runs_programs},
    {"_library", runs_programs},
    {"_libraries", runs_programs},
    {"_script", runs_programs},
    {".start_proc", runs_programs},
});

// Libraries that are only of use when the server loads them first, and that open no door.
constexpr auto preloadable = std::to_array<std::string_view>(
    {"auth_delay", "auto_explain", "passwordcheck", "pg_cron", "pg_hint_plan", "pg_partman_bgw", "pg_prewarm",
     "pg_qualstats", "pg_stat_kcache", "pg_stat_statements", "pg_wait_sampling", "pgaudit", "timescaledb", "vector"});

std::string lower_case(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

// name, or extension.name: letters, digits, '_', not beginning with a digit.
bool is_well_formed(std::string_view name) {
  char before = '.';
  for (const char c : name) {
    const bool is_letter = (c >= 'a' && c <= 'z') || c == '_';
    const bool is_digit = c >= '0' && c <= '9';
    if (!is_letter && !is_digit && c != '.') return false;
    if (before == '.' && !is_letter) return false;
    before = c;
  }
  return !name.empty() && before != '.';
}

// Empty: nothing speaks against it.
std::string_view why_refused(std::string_view name) {
  for (const Refusal& refusal : refusals) {
    if (refusal.name == name) return refusal.reason;
  }
  for (const RefusedPart& part : refused_parts) {
    if (name.ends_with(part.text)) return part.reason;
  }
  for (const RefusedPart& prefix : refused_prefixes) {
    if (name.starts_with(prefix.text)) return prefix.reason;
  }
  return {};
}

// The value of shared_preload_libraries and its like: names separated by commas, each perhaps in quotes.
void check_preload_list(const std::string& name, std::string_view list) {
  while (!list.empty()) {
    const auto comma = std::min(list.find(','), list.size());
    std::string_view library = list.substr(0, comma);
    while (!library.empty() && (library.front() == ' ' || library.front() == '"')) library.remove_prefix(1);
    while (!library.empty() && (library.back() == ' ' || library.back() == '"')) library.remove_suffix(1);
    if (!library.empty() && std::ranges::find(preloadable, library) == preloadable.end()) {
      throw Error(ErrorCode::not_allowed, fmt::format("{} cannot name the library '{}'", name, library),
                  fmt::format("libraries that can be preloaded: {}", fmt::join(preloadable, ", ")));
    }
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
}

}  // namespace

void check_user_setting(const std::string& given_name, const std::string& value) {
  const std::string name = lower_case(given_name);
  if (!is_well_formed(name)) {
    throw Error(ErrorCode::invalid_argument, fmt::format("'{}' is not the name of a PostgreSQL setting", given_name),
                "write --set name=value, for example --set work_mem=64MB");
  }
  if (value.find_first_of(std::string_view("\n\r\0", 3)) != std::string::npos) {
    throw Error(ErrorCode::invalid_argument, fmt::format("the value of {} must be one line", name));
  }
  if (name.ends_with("_preload_libraries")) return check_preload_list(name, value);
  const std::string_view reason = why_refused(name);
  if (reason.empty()) return;
  throw Error(ErrorCode::not_allowed, fmt::format("the setting {} cannot be given: {}", name, reason));
}

bool is_set_by_pgtwig(const std::string& name) {
  const std::string_view reason = why_refused(name);
  return reason == pgtwig_sets_it || reason == sets_port;
}

}  // namespace pgtwig
