// The log: one sink for the process, set up by main/. Everything else only writes to it.
#pragma once

#include <fmt/core.h>

#include <filesystem>
#include <string>

namespace pgtwig::log {

enum class Level { debug, info, warn, error };

// Formats and writes a line, where lines of `level` are written at all. Not in the templates below, and without the
// log's library in this header: both would be half of what it takes to compile each file that logs.
void write(Level level, fmt::string_view format, fmt::format_args arguments);

template <typename... Arguments>
void debug(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  write(Level::debug, format, fmt::make_format_args(arguments...));
}
template <typename... Arguments>
void info(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  write(Level::info, format, fmt::make_format_args(arguments...));
}
template <typename... Arguments>
void warn(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  write(Level::warn, format, fmt::make_format_args(arguments...));
}
template <typename... Arguments>
void error(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  write(Level::error, format, fmt::make_format_args(arguments...));
}

// Lines go to `file` (0600, rotated at 10 MiB, three kept) or to stderr when it is empty. Levels: debug, info, warn,
// error.
void set_up(const std::filesystem::path& file, const std::string& level);

}  // namespace pgtwig::log
