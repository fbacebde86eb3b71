// The archive and restore commands.
#include "archive/helper.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <exception>
#include <map>
#include <optional>
#include <vector>

#include "archive/file_transfer.h"
#include "archive/local_archive.h"
#include "base/error.h"

namespace pgtwig::archive {

namespace {

constexpr int status_done = 0;
constexpr int status_failed = 1;
constexpr int status_absent = 1;
constexpr int status_usage = 2;
// PostgreSQL stops at a restore command's status above 125. A file that is there and can't be had must not pass for one
// that is not: replay would end before it. 126 and 127 it calls "not executable" and "not found".
constexpr int status_must_stop = 255;

constexpr std::string_view push_usage = "pgtwig wal push --to DIRECTORY [--limit BYTES] [--] PATH NAME";
constexpr std::string_view fetch_usage = "pgtwig wal fetch --from DIRECTORY [--] NAME PATH";
constexpr const char* progress_name = "progress";

struct UsageError {
  std::string message;
};

// For sh within '...', and for PostgreSQL, which replaces %p, %f and %%. Without a backslash, which would mean
// something in a configuration file.
std::string quoted(const std::filesystem::path& path) {
  std::string text = "'";
  for (const char letter : path.string()) {
    if (letter == '\'') {
      text += "'\"'\"'";
    } else if (letter == '%') {
      text += "%%";
    } else {
      text += letter;
    }
  }
  return text + "'";
}

struct Arguments {
  std::map<std::string, std::string, std::less<>> options;
  std::vector<std::string> operands;
};

// Options, each with a value, then exactly two operands.
Arguments parse_arguments(std::span<const std::string> arguments, std::span<const std::string_view> known) {
  Arguments parsed;
  std::size_t next = 0;
  for (; next < arguments.size() && arguments[next].starts_with('-'); ++next) {
    const std::string& option = arguments[next];
    if (option == "--") {
      ++next;
      break;
    }
    if (std::ranges::find(known, option) == known.end()) throw UsageError{fmt::format("unknown option '{}'", option)};
    if (next + 1 == arguments.size()) throw UsageError{fmt::format("option '{}' needs a value", option)};
    if (!parsed.options.emplace(option, arguments[++next]).second) {
      throw UsageError{fmt::format("option '{}' is given twice", option)};
    }
  }
  parsed.operands.assign(arguments.begin() + static_cast<std::ptrdiff_t>(next), arguments.end());
  if (parsed.operands.size() != 2) {
    throw UsageError{fmt::format("two names are needed, not {}", parsed.operands.size())};
  }
  return parsed;
}

const std::string& required_option(const Arguments& arguments, std::string_view name) {
  const auto found = arguments.options.find(name);
  if (found == arguments.options.end()) throw UsageError{fmt::format("option '{}' is missing", name)};
  if (found->second.empty()) throw UsageError{fmt::format("option '{}' is empty", name)};
  return found->second;
}

Bytes limit_option(const Arguments& arguments) {
  const auto found = arguments.options.find("--limit");
  if (found == arguments.options.end()) return Bytes{0};
  const std::string& text = found->second;
  Bytes limit;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), limit.count);
  if (error != std::errc{} || end != text.data() + text.size()) {
    throw UsageError{fmt::format("'{}' is no number of bytes", text)};
  }
  return limit;
}

void tell(const PushOutcome& outcome, const std::string& name) {
  if (outcome.left_out) {
    fmt::print(stderr,
               "WARNING: pgtwig: the disk is full, and {} was left out of the WAL archive: the branch can't be "
               "recovered to what is in it, nor from older restore points to anything later\n",
               name);
  } else if (outcome.disk_was_full) {
    fmt::print(stderr,
               "WARNING: pgtwig: the disk is full: {} segments, up to {}, were removed from the WAL archive to make "
               "room for {}\n",
               outcome.removed.size(), outcome.removed.back(), name);
  }
}

int run_push(std::span<const std::string> arguments) {
  static constexpr std::string_view known[] = {"--to", "--limit"};
  const Arguments parsed = parse_arguments(arguments, known);
  const PushOptions options{.segments = required_option(parsed, "--to"), .limit = limit_option(parsed)};
  const std::string& name = parsed.operands[1];
  tell(push(std::filesystem::path(parsed.operands[0]), name, options), name);
  return status_done;
}

// Only for those who watch: a recovery doesn't fail for it.
void note_progress(int directory, const std::string& name) {
  const std::string temporary = fmt::format(".progress-{}", getpid());
  const UniqueFd file(
      openat(directory, temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
  const bool written = file && write(file.get(), name.data(), name.size()) == static_cast<ssize_t>(name.size()) &&
                       renameat(directory, temporary.c_str(), directory, progress_name) == 0;
  if (!written) unlinkat(directory, temporary.c_str(), 0);
}

int run_fetch(std::span<const std::string> arguments) {
  static constexpr std::string_view known[] = {"--from"};
  const Arguments parsed = parse_arguments(arguments, known);
  const UniqueFd directory = open_directory(required_option(parsed, "--from"));
  const std::string& name = parsed.operands[0];
  const auto kind = wal_file_kind(name);
  if (!kind) throw UsageError{fmt::format("'{}' is not the name of a WAL file", name)};

  const UniqueFd source = open_regular_file_at(directory.get(), name);
  if (!source) return status_absent;
  const std::string& path = parsed.operands[1];
  const UniqueFd target(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!target) throw system_error(errno, fmt::format("cannot make {}", path));
  share_or_copy(source.get(), target.get());
  // Shared blocks are in no page of the new file yet: they are read while PostgreSQL replays the first of them.
  posix_fadvise(target.get(), 0, 0, POSIX_FADV_WILLNEED);
  if (kind == WalFileKind::segment) note_progress(directory.get(), name);
  return status_done;
}

// What either command says when it fails; `failed` is the status.
template <class Run>
int report_failure(std::string_view command, std::string_view usage, int failed, Run run) {
  try {
    return run();
  } catch (const UsageError& error) {
    fmt::print(stderr, "pgtwig {}: {}; usage: {}\n", command, error.message, usage);
    return failed == status_must_stop ? status_must_stop : status_usage;
  } catch (const std::exception& error) {
    fmt::print(stderr, "pgtwig {}: {}\n", command, error.what());
    return failed;
  }
}

}  // namespace

std::string archive_command(const std::filesystem::path& helper, const std::filesystem::path& segments, Bytes limit) {
  return fmt::format("exec {} wal push --to {} --limit {} -- %p %f", quoted(helper), quoted(segments), limit.count);
}

std::string restore_command(const std::filesystem::path& helper, const std::filesystem::path& restore) {
  return fmt::format("exec {} wal fetch --from {} -- %f %p", quoted(helper), quoted(restore));
}

int push_main(std::span<const std::string> arguments) {
  return report_failure("wal push", push_usage, status_failed, [&] { return run_push(arguments); });
}

int fetch_main(std::span<const std::string> arguments) {
  return report_failure("wal fetch", fetch_usage, status_must_stop, [&] { return run_fetch(arguments); });
}

std::optional<int> run_helper(int argc, const char* const* argv) {
  if (argc < 3 || std::string_view(argv[1]) != "wal") return std::nullopt;
  const std::string_view verb = argv[2];
  const std::vector<std::string> arguments(argv + 3, argv + argc);
  if (verb == "push") return push_main(arguments);
  if (verb == "fetch") return fetch_main(arguments);
  return std::nullopt;
}

std::string fetch_progress(const std::filesystem::path& restore) {
  constexpr std::size_t longest_name = 64;
  const UniqueFd directory = open_directory(restore);
  const std::string name = read_file_beneath(directory.get(), progress_name, longest_name).value_or("");
  return wal_file_kind(name) == WalFileKind::segment ? name : "";
}

}  // namespace pgtwig::archive
