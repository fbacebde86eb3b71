#include "cli/console.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "base/error.h"

namespace pgtwig::cli {
namespace {

using Environment = std::map<std::string, std::string>;

std::string value_of(const Environment& environment, const std::string& name) {
  auto found = environment.find(name);
  return found == environment.end() ? std::string{} : found->second;
}

bool is_utf8_locale(const Environment& environment) {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    std::string value = value_of(environment, name);
    if (value.empty()) continue;
    std::transform(value.begin(), value.end(), value.begin(), [](unsigned char c) { return std::tolower(c); });
    return value.find("utf-8") != std::string::npos || value.find("utf8") != std::string::npos;
  }
  return false;
}

int terminal_width(int fd, const Environment& environment) {
  constexpr int narrowest = 20;
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col >= narrowest) return size.ws_col;
  int columns = std::atoi(value_of(environment, "COLUMNS").c_str());
  return columns >= narrowest ? columns : 80;
}

Terminal describe(int fd, const Environment& environment, bool wants_color) {
  Terminal terminal;
  std::string term = value_of(environment, "TERM");
  terminal.is_terminal = ::isatty(fd) == 1;
  terminal.has_color = terminal.is_terminal && wants_color && value_of(environment, "NO_COLOR").empty() &&
                       !term.empty() && term != "dumb";
  terminal.is_utf8 = is_utf8_locale(environment);
  terminal.width = terminal_width(fd, environment);
  return terminal;
}

// 0, or the error number.
int write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return 0;
}

}  // namespace

SystemConsole::SystemConsole(const Environment& environment, bool wants_color)
    : data_terminal_(describe(STDOUT_FILENO, environment, wants_color)),
      words_terminal_(describe(STDERR_FILENO, environment, wants_color)) {}

void SystemConsole::write_data(std::string_view text) {
  int error = write_all(STDOUT_FILENO, text);
  if (error == EPIPE) throw ClosedPipe{};
  if (error != 0)
    throw system_error(error, "cannot write to standard output").set_hint("it is closed, or leads to a full disk");
}

void SystemConsole::write_words(std::string_view text) {
  write_all(STDERR_FILENO, text);
}

std::optional<std::string> SystemConsole::read_line() {
  std::string line;
  char c = 0;
  for (;;) {
    ssize_t count = ::read(STDIN_FILENO, &c, 1);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return line.empty() ? std::nullopt : std::optional(line);
    if (c == '\n') return line;
    line.push_back(c);
  }
}

bool SystemConsole::can_ask() const {
  return ::isatty(STDIN_FILENO) == 1 && ::isatty(STDERR_FILENO) == 1;
}

}  // namespace pgtwig::cli
