// The log: one sink for the process, set up by main/. Everything else only writes to it.
#pragma once

#include <fmt/core.h>

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

namespace pgtwig::log {

enum class Level { debug, info, warn, error };

// True when lines of `level` are written at all.
bool is_on(Level level);

void write(Level level, std::string_view line);

// The library's own templates would bring its headers, and the formatting of every type, into each file that logs: half
// of what it takes to compile one.
template <typename... Arguments>
void debug(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  if (is_on(Level::debug)) write(Level::debug, fmt::format(format, std::forward<Arguments>(arguments)...));
}
template <typename... Arguments>
void info(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  if (is_on(Level::info)) write(Level::info, fmt::format(format, std::forward<Arguments>(arguments)...));
}
template <typename... Arguments>
void warn(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  if (is_on(Level::warn)) write(Level::warn, fmt::format(format, std::forward<Arguments>(arguments)...));
}
template <typename... Arguments>
void error(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  if (is_on(Level::error)) write(Level::error, fmt::format(format, std::forward<Arguments>(arguments)...));
}

// Lines go to `file` (0600, rotated at 10 MiB, three kept) or to stderr when it is empty. Levels: debug, info, warn,
// error.
void set_up(const std::filesystem::path& file, const std::string& level);

}  // namespace pgtwig::log
