// The log: one sink for the process, set up by main/. Everything else only writes to it.
#pragma once

#include <spdlog/spdlog.h>

#include <filesystem>
#include <string>

namespace pgtwig::log {

using spdlog::debug;
using spdlog::error;
using spdlog::info;
using spdlog::warn;

// Lines go to `file` (0600, rotated at 10 MiB, three kept) or to stderr when it is empty. Levels: debug, info, warn,
// error.
void set_up(const std::filesystem::path& file, const std::string& level);

}  // namespace pgtwig::log
