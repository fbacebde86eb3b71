#include "client/daemon_starter.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "api/socket_stream.h"
#include "base/error.h"
#include "base/process.h"

namespace pgtwig::client {
namespace {

using Clock = std::chrono::steady_clock;

// Mounting pools and taking up an installation of thousands of branches is a matter of seconds. Longer than a daemon
// waits for one before it that is still ending, so that it says so itself.
constexpr std::chrono::seconds start_patience{30};
// Reading every volume of every pool takes longer.
constexpr std::chrono::minutes long_start_patience{10};
constexpr std::chrono::milliseconds look_again{2};
constexpr std::size_t longest_last_words = 64u << 10;

// The daemon on its way up: what it writes before its log is open, and whether it lives.
class StartingDaemon {
 public:
  StartingDaemon(const std::filesystem::path& executable, const std::filesystem::path& log_file,
                 const std::vector<std::string>& more_arguments)
      : log_file_(log_file), log_(::open(log_file.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600)) {
    if (!log_) throw system_error(errno, fmt::format("cannot open {}", log_file.string()));
    log_begin_ = ::lseek(log_.get(), 0, SEEK_END);
    UniqueFd nothing(::open("/dev/null", O_RDWR | O_CLOEXEC));
    if (!nothing) throw system_error(errno, "cannot open /dev/null");
    std::vector<const char*> arguments{"pgtwig", "daemon", "run"};
    for (const std::string& argument : more_arguments) arguments.push_back(argument.c_str());
    arguments.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ < 0) throw system_error(errno, "cannot start the daemon");
    if (pid_ == 0) become_daemon(executable.c_str(), arguments.data(), nothing.get());
  }

  pid_t pid() const { return pid_; }

  bool has_ended() const {
    int status = 0;
    return ::waitpid(pid_, &status, WNOHANG) == pid_;
  }

  // Why it ended, in its own words.
  Error last_words() const {
    std::string text(longest_last_words, '\0');
    ssize_t count = ::pread(log_.get(), text.data(), text.size(), log_begin_);
    text.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
    std::string error;
    std::string hint = fmt::format("its log is {}", log_file_.string());
    for (std::size_t at = 0; at < text.size();) {
      std::size_t end = std::min(text.find('\n', at), text.size());
      std::string line = text.substr(at, end - at);
      if (line.starts_with("hint: ")) {
        hint = line.substr(6);
      } else if (!line.empty()) {
        error = line.starts_with("error: ") ? line.substr(7) : line;
      }
      at = end + 1;
    }
    return Error(ErrorCode::daemon_unavailable,
                 fmt::format("the daemon did not start: {}", error.empty() ? "it ended without a word" : error), hint);
  }

 private:
  // Between fork and exec of a process that may have had threads: system calls only.
  [[noreturn]] void become_daemon(const char* executable, const char* const* arguments, int nothing) const {
    ::setsid();
    ::dup2(nothing, STDIN_FILENO);
    ::dup2(nothing, STDOUT_FILENO);
    ::dup2(log_.get(), STDERR_FILENO);
    close_descriptors_from(STDERR_FILENO + 1);
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::execv(executable, const_cast<char* const*>(arguments));
    constexpr char failed[] = "error: the daemon's program cannot be executed\n";
    [[maybe_unused]] ssize_t count = ::write(STDERR_FILENO, failed, sizeof failed - 1);
    ::_exit(127);
  }

  std::filesystem::path log_file_;
  UniqueFd log_;
  off_t log_begin_ = 0;
  pid_t pid_ = -1;
};

// With the lock held.
StartedDaemon launch(const Paths& paths, const std::filesystem::path& executable,
                     const std::vector<std::string>& arguments, std::chrono::seconds patience) {
  StartingDaemon daemon(executable, paths.log_file(), arguments);
  Clock::time_point deadline = Clock::now() + patience;
  for (;;) {
    bool has_ended = daemon.has_ended();
    // Also after its end: it ends when it finds that another one answers.
    if (auto connection = api::connect_unix_socket(paths.socket)) {
      return {.connection = std::move(*connection), .pid = has_ended ? 0 : daemon.pid()};
    }
    if (has_ended) throw daemon.last_words();
    if (Clock::now() > deadline) {
      throw Error(ErrorCode::timed_out,
                  fmt::format("the daemon (pid {}) does not answer after {} seconds", daemon.pid(), patience.count()),
                  fmt::format("it goes on starting; its log is {}", paths.log_file().string()));
    }
    ::poll(nullptr, 0, static_cast<int>(look_again.count()));
  }
}

FileLock acquire_start_lock(const Paths& paths) {
  make_installation_directories(paths, ::geteuid() == 0);
  return FileLock::acquire(paths.start_lock());
}

}  // namespace

StartedDaemon start_daemon(const Paths& paths, const std::filesystem::path& executable) {
  FileLock lock = acquire_start_lock(paths);
  if (auto connection = api::connect_unix_socket(paths.socket)) return {.connection = std::move(*connection)};
  return launch(paths, executable, {}, start_patience);
}

StartedDaemon replace_daemon(const Paths& paths, const std::filesystem::path& executable,
                             const std::vector<std::string>& arguments, const std::function<void()>& stop) {
  FileLock lock = acquire_start_lock(paths);
  stop();
  return launch(paths, executable, arguments, long_start_patience);
}

}  // namespace pgtwig::client
