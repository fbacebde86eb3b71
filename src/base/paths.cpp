// Where things are kept, decided in one place.
#include "base/paths.h"

#include <fmt/format.h>
#include <unistd.h>

#include <string_view>

#include "base/error.h"
#include "base/fs.h"

namespace pgtwig {

namespace {

// sockaddr_un::sun_path has 108 bytes, the last for its end.
constexpr std::size_t longest_socket_path = 107;
// What an instance's socket adds to instances(): "/<12 digits>/s/.s.PGSQL.65535".
constexpr std::size_t instance_socket_bytes = 1 + 12 + 2 + std::string_view("/.s.PGSQL.65535").size();

std::string variable(const std::map<std::string, std::string>& environment, const std::string& name) {
  const auto entry = environment.find(name);
  return entry == environment.end() ? std::string() : entry->second;
}

std::filesystem::path absolute(const std::string& text) {
  std::filesystem::path path = std::filesystem::absolute(text).lexically_normal();
  return path.has_filename() ? path : path.parent_path();
}

// The XDG Base Directory Specification wants relative values ignored.
std::filesystem::path xdg_directory(const std::map<std::string, std::string>& environment, const std::string& name,
                                    const std::string& below_home) {
  const std::string given = variable(environment, name);
  if (given.starts_with('/')) return given;
  const std::string home = variable(environment, "HOME");
  if (!home.starts_with('/')) {
    throw Error(ErrorCode::invalid_argument, "HOME is not set, so there is no place for pgtwig's files",
                "set HOME, or PGTWIG_ROOT to a directory of your choice");
  }
  return std::filesystem::path(home) / below_home;
}

void check_socket_length(const Paths& paths) {
  const std::size_t longest =
      std::max(paths.socket.native().size(), paths.instances().native().size() + instance_socket_bytes);
  if (longest <= longest_socket_path) return;
  throw Error(ErrorCode::invalid_argument,
              fmt::format("socket paths below {} would be {} bytes longer than the {} that the system allows",
                          paths.run.string(), longest - longest_socket_path, longest_socket_path),
              "set PGTWIG_ROOT to a directory with a shorter path");
}

}  // namespace

Paths find_paths(const std::map<std::string, std::string>& environment, bool is_root) {
  Paths paths;
  if (const std::string root = variable(environment, "PGTWIG_ROOT"); !root.empty()) {
    paths.state = absolute(root);
    paths.run = paths.state / "run";
    paths.config_file = paths.state / "pgtwig.toml";
  } else if (is_root) {
    paths.state = "/var/lib/pgtwig";
    paths.run = "/run/pgtwig";
    paths.config_file = "/etc/pgtwig/pgtwig.toml";
  } else {
    paths.state = xdg_directory(environment, "XDG_STATE_HOME", ".local/state") / "pgtwig";
    paths.run = paths.state / "run";
    paths.config_file = xdg_directory(environment, "XDG_CONFIG_HOME", ".config") / "pgtwig" / "pgtwig.toml";
  }
  const std::string socket = variable(environment, "PGTWIG_SOCKET");
  paths.socket = socket.empty() ? paths.run / "pgtwig.sock" : absolute(socket);
  if (const std::string file = variable(environment, "PGTWIG_CONFIG"); !file.empty()) {
    paths.config_file = absolute(file);
  }
  check_socket_length(paths);
  return paths;
}

std::map<std::string, std::string> current_environment() {
  std::map<std::string, std::string> variables;
  for (char** entry = environ; *entry; ++entry) {
    const std::string_view text = *entry;
    const std::size_t equals = text.find('=');
    if (equals != text.npos) variables.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return variables;
}

void make_installation_directories(const Paths& paths, bool is_root) {
  const mode_t crossing = is_root ? 0711 : 0700;
  make_directories(paths.state, crossing);
  make_directories(paths.run, crossing);
  make_directories(paths.pools(), crossing);
  make_directories(paths.instances(), crossing);
  make_directories(paths.log_file().parent_path(), 0700);
}

}  // namespace pgtwig
