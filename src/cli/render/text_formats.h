// The formats for programs: JSON, YAML, and lines for a shell or an .env file.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pgtwig::cli {

// The API's JSON as it came, with a line end; indented for people where `is_pretty`.
std::string render_json(std::string_view json, bool is_pretty);
// The same as YAML 1.2 in block style. Text that YAML could read as anything else is quoted.
std::string render_yaml(std::string_view json);

// KEY=value lines that a shell's `.` and the usual .env readers both take: bare where every character is harmless, else
// in single quotes.
std::string render_environment(const std::vector<std::pair<std::string, std::string>>& variables);

}  // namespace pgtwig::cli
