// See cluster.h: what a user's postgresql.conf may say, and what pgtwig gives by itself.
#include <fmt/format.h>

#include "base/error.h"
#include "base/user_setting.h"
#include "postgres/cluster.h"
#include "postgres/configuration_file.h"

namespace pgtwig::postgres {

void check_user_configuration(const std::string& text) {
  for (const ConfigurationLine& line : parse_configuration(text)) {
    if (is_set_by_pgtwig(line.name)) continue;
    try {
      check_user_setting(line.name, line.value);
    } catch (Error& error) {
      error.add_context(fmt::format("line {} of {}", line.line, conf_file_name));
      if (error.hint().empty()) error.set_hint("take that line out");
      throw;
    }
  }
}

SettingList default_settings(int pg_major, bool copy_on_write) {
  // Many branches share a machine, and most of them change little.
  SettingList settings = {{"autovacuum_naptime", "5min"}};
  if (copy_on_write) {
    // New blocks are made at each write anyway: filling and reusing segments only doubles the work and the space.
    settings.emplace_back("wal_recycle", "off");
    settings.emplace_back("wal_init_zero", "off");
    // Each page that vacuum rewrites is a page no longer shared with the parent.
    settings.emplace_back("autovacuum_vacuum_scale_factor", "0.4");
    settings.emplace_back("autovacuum_vacuum_insert_scale_factor", "0.8");
  }
  if (pg_major >= 15) settings.emplace_back("log_checkpoints", "off");
  return settings;
}

SettingList recovery_sync_overrides(int pg_major, bool whole_file_system) {
  constexpr int first_with_setting = 14;
  if (pg_major < first_with_setting) return {};
  return {{"recovery_init_sync_method", whole_file_system ? "syncfs" : "fsync"}};
}

}  // namespace pgtwig::postgres
