// The command line that docker, podman and nerdctl share, and in what they differ, as data. Nothing here runs anything.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/process.h"
#include "runtime/instance_runtime.h"

namespace pgtwig::runtime {

struct Dialect {
  std::string_view name;                           // of the runtime and of its program
  std::vector<std::string_view> run_options;       // of every container
  std::vector<std::string_view> server_options;    // of one that stays
  std::vector<std::string_view> rootless_options;  // where the caller is not root
  std::string_view service;                        // which daemon has to run, for a hint; empty: none
  std::string_view package;                        // of Debian, for a hint; empty: it is in none
};
// "docker", "podman" or "nerdctl".
const Dialect& dialect_of(std::string_view name);

// Whether a container has the machine's network, or one of its own with its port forwarded from 127.0.0.1.
enum class Network { host, bridge };

struct ContainerOptions {
  InstallationId installation;
  Network network = Network::host;
  std::filesystem::path directory;  // for the files that every container is given: the names of its users
  bool is_rootless = false;
  Bytes shared_memory;  // how large /dev/shm may become
};

inline constexpr std::string_view installation_label = "pgtwig.installation";
inline constexpr std::string_view incarnation_label = "pgtwig.incarnation";

std::string container_name(const IncarnationId& id);
// Of a name that container_name() gave.
std::optional<IncarnationId> incarnation_of(std::string_view name);

// All of the command line for the server of an instance. Throws Error invalid_argument for a path with a comma, which a
// --mount can't have.
std::vector<std::string> server_command(const Dialect& dialect, const ContainerOptions& options,
                                        const InstanceSpec& spec);
// And for a program that ends by itself. `environment`: names of variables that it is given.
struct Tool {
  std::string image;
  std::vector<std::string> argv;
  OsUser user;
  std::vector<std::string> environment;
  std::vector<Share> shares;
};
std::vector<std::string> tool_command(const Dialect& dialect, const ContainerOptions& options, const Tool& tool);

// passwd and group for the inside: an image knows neither our users nor their names, without which initdb refuses, and
// peer authentication can't tell who is calling.
std::filesystem::path passwd_file(const ContainerOptions& options);
std::filesystem::path group_file(const ContainerOptions& options);
std::string passwd_text(const OsUser& user);
std::string group_text(const OsUser& user);

}  // namespace pgtwig::runtime
