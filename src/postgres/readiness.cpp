// See readiness.h.
#include "postgres/readiness.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/fs.h"

namespace pgtwig::postgres {
namespace {

using namespace std::chrono_literals;
using SteadyTime = std::chrono::steady_clock::time_point;

// Between two looks when nothing says that there is something to see.
constexpr auto pause_between_looks = 20ms;
// The same where nothing can say it: a look costs some 20 microseconds, and a start some 40 milliseconds.
constexpr auto pause_between_blind_looks = 1ms;
// Between two calls of the probe's watch.
constexpr auto pause_between_watches = 50ms;
// How much of the end of a log is searched for the words of a failure.
constexpr std::uint64_t log_window = 256 * 1024;

// Lines of postmaster.pid (src/include/utils/pidfile.h), counted from 0.
constexpr std::size_t pid_line = 0;
constexpr std::size_t status_line = 7;

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const auto end = text.find('\n');
    lines.push_back(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
  }
  return lines;
}

// Whether postmaster.pid is this postmaster's, by the number that it knows itself by, and says "ready". It lies where
// PostgreSQL's user can write, so it is only ever a reason to ask now rather than later.
bool says_ready(int data_directory, pid_t postmaster) {
  const auto text = read_file_beneath(data_directory, "postmaster.pid", 4096);
  if (!text) return false;
  const auto lines = lines_of(*text);
  return lines.size() > status_line && lines[pid_line] == std::to_string(postmaster) &&
         lines[status_line].starts_with("ready");
}

// Says when there is something to see in the data directory itself, where postmaster.pid is.
class DirectoryWatch {
 public:
  // A system has only so many of them for each user: without one, it is looked often.
  DirectoryWatch(Notifiers& notifiers, const std::filesystem::path& directory)
      : notifiers_(notifiers), fd_(notifiers.take()) {
    if (fd_) watch_ = ::inotify_add_watch(fd_.get(), directory.c_str(), IN_MODIFY | IN_ONLYDIR);
    if (watch_ < 0) fd_.reset();
  }
  DirectoryWatch(const DirectoryWatch&) = delete;
  DirectoryWatch& operator=(const DirectoryWatch&) = delete;
  ~DirectoryWatch() {
    if (!fd_) return;
    ::inotify_rm_watch(fd_.get(), watch_);
    notifiers_.give_back(std::move(fd_));
  }

  // Returns when it is time to look; whether the process has ended.
  bool wait(const ProcessHandle& process) const {
    if (!fd_) return process.wait_for_end(pause_between_blind_looks);
    std::array<pollfd, 2> entries{pollfd{process.fd(), POLLIN, 0}, pollfd{fd_.get(), POLLIN, 0}};
    ::poll(entries.data(), entries.size(), static_cast<int>(std::chrono::milliseconds(pause_between_looks).count()));
    std::array<char, 4096> events;
    while (::read(fd_.get(), events.data(), events.size()) > 0) continue;
    return process.wait_for_end(0ms);
  }

 private:
  Notifiers& notifiers_;
  UniqueFd fd_;
  int watch_ = -1;
};

// A server that is about to let us in says so with this code, or does not listen yet.
bool may_be_tried_again(const ConnectFailure& failure) {
  constexpr std::string_view cannot_connect_now = "57P03";
  constexpr std::string_view too_many_connections = "53300";
  return failure.sqlstate.empty() || failure.sqlstate == cannot_connect_now || failure.sqlstate == too_many_connections;
}

std::string read_end_of_log(const std::filesystem::path& file, std::uint64_t offset) {
  const UniqueFd fd(::open(file.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  struct stat status{};
  if (!fd || ::fstat(fd.get(), &status) != 0) return {};
  const auto size = static_cast<std::uint64_t>(status.st_size);
  const std::uint64_t begin = std::max(offset, size > log_window ? size - log_window : 0);
  if (begin >= size) return {};
  std::string text(size - begin, '\0');
  const ssize_t got = ::pread(fd.get(), text.data(), text.size(), static_cast<off_t>(begin));
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return text;
}

// "2026-01-01 12:00:00.000 UTC [123] FATAL:  words" gives "words".
std::optional<std::string_view> words_after(std::string_view line, std::string_view severity) {
  const auto at = line.find(severity);
  if (at == std::string_view::npos) return std::nullopt;
  std::string_view words = line.substr(at + severity.size());
  while (words.starts_with(' ')) words.remove_prefix(1);
  return words;
}

std::string last_failure_in(std::string_view log) {
  constexpr auto severities = std::to_array<std::string_view>({"FATAL:", "PANIC:", "ERROR:"});
  std::string failure;
  std::string complaint;  // the last LOG: of a bad configuration file it says what is bad, the FATAL only that it is
  std::string of_a_file;  // the last that was of a line of such a file
  std::string plain;      // what postgres says before it can log: "postgres: could not ...", perhaps on several lines
  for (const std::string_view line : lines_of(log)) {
    for (const std::string_view severity : severities) {
      const auto words = words_after(line, severity);
      if (!words) continue;
      const bool is_of_a_file = words->starts_with("configuration file") || words->starts_with("could not load ");
      // With a bad pg_ident.conf it starts, and knows nobody.
      const std::string& why = words->find("authentication failed") != words->npos ? of_a_file : complaint;
      const bool is_explained = !why.empty() && (is_of_a_file || &why == &of_a_file);
      failure = is_explained ? fmt::format("{}; {}", why, *words) : *words;
    }
    if (const auto words = words_after(line, "LOG:")) complaint = *words;
    // Of a line of pg_ident.conf; a regular expression's complaint comes without its place.
    const bool has_place = words_after(line, "CONTEXT:").value_or("").find("of configuration file") != line.npos;
    if (has_place || words_after(line, "LOG:").value_or("").starts_with("invalid regular expression")) {
      of_a_file = complaint;
    }
    if (line.find("LOG:") == std::string_view::npos && !line.empty()) {
      plain = line.starts_with("postgres: ") || plain.empty() ? std::string(line) : fmt::format("{} {}", plain, line);
    }
  }
  return failure.empty() ? plain : failure;
}

// One attempt to get in; nullopt when it is too early.
std::optional<Connection> try_to_enter(const ReadinessProbe& probe, SteadyTime deadline) {
  ConnectOptions options = probe.connect;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  options.timeout = std::clamp<std::chrono::milliseconds>(left, 1ms, options.timeout);
  auto connection = Connection::try_open(options);
  if (!connection) {
    if (may_be_tried_again(connection.error())) return std::nullopt;
    if (probe.collect_log) probe.collect_log();
    throw Error(ErrorCode::postgres_failed,
                fmt::format("PostgreSQL started but does not let pgtwig in: {}", connection.error().message));
  }
  // The same as pg_is_in_recovery() (its show hook asks RecoveryInProgress(), from PostgreSQL 14 on) without a look for
  // a function, of which a server that has just started has none in its caches.
  if (connection->value("SHOW in_hot_standby") != "off") return std::nullopt;
  return std::move(*connection);
}

}  // namespace

UniqueFd Notifiers::take() {
  const std::lock_guard lock(mutex_);
  if (idle_.empty()) return UniqueFd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  UniqueFd notifier = std::move(idle_.back());
  idle_.pop_back();
  return notifier;
}

void Notifiers::give_back(UniqueFd notifier) {
  constexpr std::size_t most = 4;  // of a user's 128 (fs.inotify.max_user_instances)
  const std::lock_guard lock(mutex_);
  if (idle_.size() < most) idle_.push_back(std::move(notifier));
}

std::string last_failure_in_log(const std::filesystem::path& log_file, std::uint64_t offset) {
  return last_failure_in(read_end_of_log(log_file, offset));
}

Error failure_of_start(const ReadinessProbe& probe) {
  if (probe.collect_log) probe.collect_log();
  const std::string log = read_end_of_log(probe.log_file, probe.log_offset);
  if (log.find("could not bind") != std::string::npos && log.find("Address already in use") != std::string::npos) {
    return {ErrorCode::busy, fmt::format("port {} is taken by another program", probe.connect.port),
            "choose another with --port, or leave the choice to pgtwig"};
  }
  const std::string words = last_failure_in(log);
  return {ErrorCode::postgres_failed, words.empty() ? "PostgreSQL ended while it started, and its log gives no reason"
                                                    : fmt::format("PostgreSQL would not start: {}", words)};
}

Connection wait_until_ready(const ProcessHandle& postmaster, const ReadinessProbe& probe) {
  SteadyTime deadline = std::chrono::steady_clock::now() + probe.timeout;
  SteadyTime next_watch = std::chrono::steady_clock::now() + pause_between_watches;
  const UniqueFd data_directory = open_directory(probe.data_directory);
  Notifiers own_notifiers;
  const DirectoryWatch directory_watch(probe.notifiers ? *probe.notifiers : own_notifiers, probe.data_directory);
  std::function<void()> on_listening = probe.on_listening;
  const pid_t own_pid = pid_in_own_namespace(postmaster.pid()).value_or(postmaster.pid());
  while (std::chrono::steady_clock::now() < deadline) {
    if (says_ready(data_directory.get(), own_pid)) {
      if (on_listening) std::exchange(on_listening, nullptr)();
      if (auto connection = try_to_enter(probe, deadline)) return std::move(*connection);
    }
    if (directory_watch.wait(postmaster)) throw failure_of_start(probe);
    const SteadyTime now = std::chrono::steady_clock::now();
    if (probe.watch && now >= next_watch) {
      if (probe.watch()) deadline = now + probe.timeout;
      next_watch = now + pause_between_watches;
    }
  }
  throw Error(ErrorCode::timed_out,
              fmt::format("PostgreSQL is not ready after {} s; it may still be recovering",
                          std::chrono::duration_cast<std::chrono::seconds>(probe.timeout).count()));
}

}  // namespace pgtwig::postgres
