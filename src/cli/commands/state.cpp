// pgtwig state rebuild: a new catalog from the volumes alone, for when the old one is lost or wrong.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "base/error.h"
#include "base/fs.h"
#include "base/process.h"
#include "cli/answers.h"
#include "cli/commands/commands.h"
#include "cli/commands/daemon.h"

namespace pgtwig::cli {
namespace {

constexpr std::chrono::milliseconds look_again{50};
constexpr std::chrono::minutes start_timeout{10};  // many volumes on a slow disk

// A daemon of its own session, which outlives this process. What it says before it answers is kept for its failure.
class StartingDaemon {
 public:
  explicit StartingDaemon(const std::vector<std::string>& argv)
      : words_(::memfd_create("pgtwig-daemon-stderr", MFD_CLOEXEC)) {
    std::vector<char*> arguments;
    for (const auto& argument : argv) arguments.push_back(const_cast<char*>(argument.c_str()));
    arguments.push_back(nullptr);
    UniqueFd nothing(::open("/dev/null", O_RDWR | O_CLOEXEC));
    if (!words_ || !nothing) throw system_error(errno, "cannot start the daemon");
    pid_ = ::fork();
    if (pid_ < 0) throw system_error(errno, "cannot start the daemon");
    if (pid_ > 0) return;
    ::setsid();
    ::dup2(nothing.get(), STDIN_FILENO);
    ::dup2(nothing.get(), STDOUT_FILENO);
    ::dup2(words_.get(), STDERR_FILENO);
    close_descriptors_from(STDERR_FILENO + 1);
    ::execv("/proc/self/exe", arguments.data());
    ::_exit(127);
  }

  bool has_ended() const {
    int status = 0;
    return ::waitpid(pid_, &status, WNOHANG) == pid_;
  }

  std::string words() const {
    std::string text(static_cast<std::size_t>(std::max<off_t>(0, ::lseek(words_.get(), 0, SEEK_END))), '\0');
    ssize_t count = ::pread(words_.get(), text.data(), text.size(), 0);
    text.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
    return text;
  }

 private:
  UniqueFd words_;
  pid_t pid_ = -1;
};

void start_rebuilding_daemon(Session& session, const std::vector<std::string>& directories) {
  std::vector<std::string> argv{"pgtwig", "daemon", "run", "--rebuild-state"};
  for (const auto& directory : directories) {
    argv.emplace_back("--pool-directory");
    argv.push_back((session.world().working_directory / directory).lexically_normal().string());
  }
  StartingDaemon daemon(argv);
  auto deadline = std::chrono::steady_clock::now() + start_timeout;
  while (!session.api_without_start().is_daemon_running()) {
    if (daemon.has_ended()) {
      session.console().write_words(daemon.words());
      throw Error(ErrorCode::daemon_unavailable, "the daemon that was to rebuild the catalog ended before it answered",
                  fmt::format("what it said stands above; more in {}", session.paths().log_file().string()));
    }
    if (std::chrono::steady_clock::now() > deadline)
      throw Error(ErrorCode::timed_out, "the daemon that rebuilds the catalog does not answer yet",
                  fmt::format("it goes on; see {}", session.paths().log_file().string()));
    session.world().pause(look_again);
  }
}

int rebuild_state(Session& session) {
  if (session.shows_words())
    session.say(
        "Rebuilding the catalog: the daemon is stopped (instances go on), a new catalog is written from what every\n"
        "volume says of itself, and the daemon starts with it. Passwords are not in the volumes and stay unknown\n"
        "until set anew; the volumes themselves are not changed.");
  if (!session.confirm("Replace the catalog?")) {
    session.say("Nothing was changed.");
    return error_code_info(ErrorCode::invalid_argument).exit_status;
  }
  make_directories(session.paths().run, 0755);
  // No other call of pgtwig starts a daemon with the old catalog in between.
  FileLock lock = FileLock::acquire(session.paths().start_lock());
  stop_daemon(session, false);
  start_rebuilding_daemon(session, session.invocation().all("pool-directory"));
  print_branches(session, session.api_without_start().request("GET", "/v1/branches"));
  return 0;
}

}  // namespace

Command state_commands() {
  Command rebuild{.names = {"rebuild"},
                  .summary = "Make the catalog anew from the volumes",
                  .description =
                      "For a catalog that is lost or does not fit the volumes any more. Asks first on a "
                      "terminal.",
                  .options = {{.names = {"--pool-directory"},
                               .value_name = "DIR",
                               .kind = ValueKind::directory,
                               .help = "look for volumes here, too; may be given several times",
                               .is_repeatable = true}},
                  .formats = branch_formats(),
                  .examples = {{"pgtwig state rebuild --pool-directory /mnt/nvme/pgtwig", ""}},
                  .run = rebuild_state};
  return {
      .names = {"state"}, .summary = "The catalog of what there is", .section = "The machine", .commands = {rebuild}};
}

}  // namespace pgtwig::cli
