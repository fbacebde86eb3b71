// The log's one sink.
#include "base/log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <cstdio>
#include <memory>

#include "base/error.h"
#include "base/text.h"

namespace pgtwig::log {

namespace {

// The library makes its logger when it is first asked for it; here that is before there is a second thread.
[[maybe_unused]] const auto* const made_early = spdlog::default_logger_raw();

constexpr std::size_t file_limit = 10u << 20;
constexpr std::size_t old_files_kept = 3;

Level level_from_name(const std::string& name) {
  if (name == "debug") return Level::debug;
  if (name == "info") return Level::info;
  if (name == "warn") return Level::warn;
  if (name == "error") return Level::error;
  throw Error(ErrorCode::invalid_argument, fmt::format("'{}' is not a log level", name),
              "use debug, info, warn or error");
}

spdlog::level::level_enum library_level(Level level) {
  switch (level) {
    case Level::debug:
      return spdlog::level::debug;
    case Level::info:
      return spdlog::level::info;
    case Level::warn:
      return spdlog::level::warn;
    case Level::error:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

spdlog::sink_ptr make_sink(const std::filesystem::path& file) {
  if (file.empty()) return std::make_shared<spdlog::sinks::stderr_sink_mt>();
  spdlog::file_event_handlers handlers;
  // Also of each file that a rotation opens: nobody else reads it, and no child process inherits it.
  handlers.after_open = [](const spdlog::filename_t&, std::FILE* stream) {
    fchmod(fileno(stream), 0600);
    fcntl(fileno(stream), F_SETFD, FD_CLOEXEC);
  };
  try {
    return std::make_shared<spdlog::sinks::rotating_file_sink_mt>(file.string(), file_limit, old_files_kept, false,
                                                                  handlers);
  } catch (const spdlog::spdlog_ex& error) {
    throw Error(ErrorCode::internal, fmt::format("cannot open the log file {}: {}", file.string(), error.what()));
  }
}

}  // namespace

void write(Level level, fmt::string_view format, fmt::format_args arguments) {
  const auto known = library_level(level);
  // Much of what is logged was said by others, and none of it may look like a line of ours.
  if (spdlog::should_log(known)) spdlog::log(known, on_one_line(fmt::vformat(format, arguments)));
}

void set_up(const std::filesystem::path& file, const std::string& level) {
  const auto threshold = library_level(level_from_name(level));
  auto logger = std::make_shared<spdlog::logger>("pgtwig", make_sink(file));
  logger->set_level(threshold);
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc);
  // Each line at once: what a killed daemon said last is what its reader looks for.
  logger->flush_on(spdlog::level::trace);
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace pgtwig::log
