// The real world around a call: the process's streams, its environment, the daemon.
#include "cli/cli.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <thread>

#include "base/error.h"
#include "cli/render/error.h"
#include "cli/run.h"

namespace pgtwig::cli {
namespace {

// As a shell says it, so that scripts around `pgtwig run` need not know pgtwig.
constexpr int exit_not_executable = 126;
constexpr int exit_not_found = 127;

// A program started by us gets the signals as we got them.
void restore_sigpipe() {
  ::signal(SIGPIPE, SIG_DFL);
}

int become(Console& console, const ProcessImage& image) {
  for (const auto& name : image.removed_variables) ::unsetenv(name.c_str());
  for (const auto& [name, value] : image.environment) ::setenv(name.c_str(), value.c_str(), 1);
  std::vector<char*> argv;
  for (const auto& argument : image.argv) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  restore_sigpipe();
  ::execvp(argv.front(), argv.data());
  int status = errno == ENOENT ? exit_not_found : exit_not_executable;
  Error error = system_error(errno, fmt::format("cannot run {}", image.argv.front()));
  show_error(error.set_hint("is it installed, and on PATH?"), console, false);
  return status;
}

// As a shell does it: what the user types, Ctrl-C included, is for the program while it runs.
int run_attended(Console& console, const ProcessImage& image) {
  const pid_t child = ::fork();
  if (child < 0) throw system_error(errno, fmt::format("cannot run {}", image.argv.front()));
  if (child == 0) ::_exit(become(console, image));
  const auto on_interrupt = ::signal(SIGINT, SIG_IGN);
  const auto on_quit = ::signal(SIGQUIT, SIG_IGN);
  int status = 0;
  pid_t ended = 0;
  do ended = ::waitpid(child, &status, 0);
  while (ended < 0 && errno == EINTR);
  const int wait_error = errno;
  ::signal(SIGINT, on_interrupt);
  ::signal(SIGQUIT, on_quit);
  if (ended < 0) throw system_error(wait_error, fmt::format("cannot wait for {}", image.argv.front()));
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

int run(int argc, char** argv, const Composition& composition) {
  ::signal(SIGPIPE, SIG_IGN);  // a closed pipe is seen where we write
  std::vector<std::string> words(argv + std::min(argc, 1), argv + argc);
  SystemClock clock;
  World world;
  world.environment = current_environment();
  bool wants_color = std::find(words.begin(), words.end(), "--no-color") == words.end();
  SystemConsole console(world.environment, wants_color);
  std::error_code unreadable;
  world.working_directory = std::filesystem::current_path(unreadable);
  world.is_root = ::geteuid() == 0;
  world.clock = &clock;
  world.console = &console;
  world.set_variable = [](const std::string& name, const std::string& value) {
    ::setenv(name.c_str(), value.c_str(), 1);
  };
  world.connect = connect_to_daemon;
  world.replace_daemon = replace_daemon;
  world.become = [&](const ProcessImage& image) { return become(console, image); };
  world.run_attended = [&](const ProcessImage& image) { return run_attended(console, image); };
  world.pause = [](std::chrono::milliseconds time) { std::this_thread::sleep_for(time); };
  world.watch_interrupts = watch_interrupts;
  world.composition = &composition;
  return run_words(world, words);
}

}  // namespace pgtwig::cli
