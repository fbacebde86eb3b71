// Which settings of PostgreSQL a user may give, by --set or in the configuration.
#pragma once

#include <string>

namespace pgtwig {

// Refuses settings that pgtwig owns (port, data_directory, ...) or that run programs or load libraries
// (archive_command, *_library*, *_preload_libraries beyond an allow list). Throws Error not_allowed with the reason,
// invalid_argument for a malformed name or a value of several lines.
void check_user_setting(const std::string& name, const std::string& value);
// Whether it is refused because pgtwig gives it in any case, so that nothing said elsewhere has an effect.
bool is_set_by_pgtwig(const std::string& name);

}  // namespace pgtwig
