#include "runtime/container/dialect.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/error.h"
#include "runtime/postmaster.h"

namespace pgtwig::runtime {
namespace {

// PostgreSQL is asked to end by this signal (documentation, "Shutting Down the Server": fast), also by an engine that
// goes down itself; which then waits this long before it kills.
constexpr std::string_view stop_signal = "SIGINT";
constexpr std::string_view stop_seconds = "120";
constexpr std::string_view name_prefix = "pgtwig-";

// docker: a user namespace of the engine's would make our files somebody else's. Logs stay where `logs` finds them,
// whatever the engine's default is.
const std::array<Dialect, 3> dialects = {
    Dialect{.name = "docker",
            .run_options = {"--userns=host"},
            .server_options = {"--log-driver=json-file", "--log-opt=max-size=16m", "--log-opt=max-file=2"},
            .rootless_options = {},
            .service = "dockerd",
            .package = "docker.io"},
    Dialect{.name = "podman",
            .run_options = {},
            .server_options = {"--log-driver=k8s-file", "--log-opt=max-size=16mb"},
            .rootless_options = {"--userns=keep-id"},
            .service = "",
            .package = "podman"},
    Dialect{.name = "nerdctl",
            .run_options = {},
            .server_options = {"--log-driver=json-file", "--log-opt=max-size=16m", "--log-opt=max-file=2"},
            .rootless_options = {},
            .service = "containerd",
            .package = ""},
};

class Arguments {
 public:
  explicit Arguments(const Dialect& dialect, std::string_view verb) { add(dialect.name, verb); }

  template <class... Texts>
  void add(const Texts&... texts) {
    (list_.emplace_back(texts), ...);
  }
  void add_all(const std::vector<std::string_view>& texts) { list_.insert(list_.end(), texts.begin(), texts.end()); }
  void add_all(const std::vector<std::string>& texts) { list_.insert(list_.end(), texts.begin(), texts.end()); }
  // The same path inside as outside, so that every setting means the same wherever a server runs.
  void mount(const std::filesystem::path& path, bool is_writable) { mount(path, path.string(), is_writable); }
  void mount(const std::filesystem::path& source, const std::string& target, bool is_writable) {
    refuse_comma(source.string(), "keep the pool and PGTWIG_ROOT where no folder has a comma in its name");
    add("--mount", fmt::format("type=bind,src={},dst={}{}", source.string(), target, is_writable ? "" : ",readonly"));
  }
  // Of an image, which may be anybody's.
  void cover(const std::string& volume) {
    refuse_comma(volume, "choose another image");
    add("--mount", "type=tmpfs,dst=" + volume);
  }
  std::vector<std::string> take() { return std::move(list_); }

 private:
  // It would begin another option of the mount.
  static void refuse_comma(const std::string& path, std::string_view hint) {
    if (!path.contains(',')) return;
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{} has a comma in its name, with which no container engine can mount it", path),
                std::string(hint));
  }

  std::vector<std::string> list_;
};

// What a server and a tool have in common: who they are, what they may, what they see.
void add_common(Arguments& arguments, const Dialect& dialect, const ContainerOptions& options, const OsUser& user) {
  // Never from a registry unless somebody asked for it; `pgtwig` asks by a pull of its own.
  arguments.add("--pull", "never");
  arguments.add_all(dialect.run_options);
  if (options.is_rootless) arguments.add_all(dialect.rootless_options);
  arguments.add("--user", fmt::format("{}:{}", user.uid, user.gid));
  arguments.add("--cap-drop", "ALL", "--security-opt", "no-new-privileges");
  arguments.mount(passwd_file(options), "/etc/passwd", false);
  arguments.mount(group_file(options), "/etc/group", false);
}

void add_shares(Arguments& arguments, const std::vector<Share>& shares) {
  for (const Share& share : shares) arguments.mount(share.path, share.is_writable);
}

}  // namespace

const Dialect& dialect_of(std::string_view name) {
  const auto found = std::ranges::find(dialects, name, &Dialect::name);
  if (found == dialects.end()) throw Error(ErrorCode::internal, fmt::format("there is no engine called {}", name));
  return *found;
}

std::string container_name(const IncarnationId& id) {
  return fmt::format("{}{}", name_prefix, id.text());
}

std::optional<IncarnationId> incarnation_of(std::string_view name) {
  if (!name.starts_with(name_prefix)) return std::nullopt;
  return IncarnationId::parse(name.substr(name_prefix.size()));
}

std::vector<std::string> server_command(const Dialect& dialect, const ContainerOptions& options,
                                        const InstanceSpec& spec) {
  Arguments arguments(dialect, "run");
  arguments.add("--detach", "--name", container_name(spec.id));
  arguments.add("--label", fmt::format("{}={}", installation_label, options.installation.text()));
  arguments.add("--label", fmt::format("{}={}", incarnation_label, spec.id.text()));
  add_common(arguments, dialect, options, spec.user);
  arguments.add_all(dialect.server_options);
  switch (options.network) {
    case Network::host:
      arguments.add("--network", "host");
      break;
    case Network::bridge:
      arguments.add("--publish", fmt::format("127.0.0.1:{0}:{0}", spec.port));
      break;
  }
  arguments.add("--stop-signal", stop_signal, "--stop-timeout", stop_seconds);
  arguments.add("--shm-size", std::to_string(options.shared_memory.count));
  if (!spec.limits.cpus.empty()) arguments.add("--cpus", spec.limits.cpus);
  if (!spec.limits.memory.empty()) arguments.add("--memory", spec.limits.memory);
  for (const auto& [name, value] : spec.environment) arguments.add("--env", fmt::format("{}={}", name, value));
  // An image's own data directory is not used; unless something lies on it, the engine makes a volume for each start.
  for (const std::string& volume : spec.image_volumes) arguments.cover(volume);
  arguments.mount(spec.data_directory, true);
  arguments.mount(spec.directory, true);
  add_shares(arguments, spec.shares);
  arguments.add("--workdir", spec.data_directory.string());
  // Not the image's entry point: it would change owners and run initdb by itself.
  arguments.add("--entrypoint", "postgres", spec.image);
  arguments.add_all(server_arguments(spec));
  return arguments.take();
}

std::vector<std::string> tool_command(const Dialect& dialect, const ContainerOptions& options, const Tool& tool) {
  Arguments arguments(dialect, "run");
  arguments.add("--rm", "--interactive", "--network", "none");
  add_common(arguments, dialect, options, tool.user);
  for (const std::string& name : tool.environment) arguments.add("--env", name);
  add_shares(arguments, tool.shares);
  arguments.add("--workdir", "/", "--entrypoint", tool.argv.front(), tool.image);
  arguments.add_all(std::vector<std::string>(tool.argv.begin() + 1, tool.argv.end()));
  return arguments.take();
}

std::filesystem::path passwd_file(const ContainerOptions& options) {
  return options.directory / "passwd";
}

std::filesystem::path group_file(const ContainerOptions& options) {
  return options.directory / "group";
}

std::string passwd_text(const OsUser& user) {
  return fmt::format("root:x:0:0:root:/root:/bin/sh\n{}:x:{}:{}::/tmp:/bin/sh\n", user.name, user.uid, user.gid);
}

std::string group_text(const OsUser& user) {
  return fmt::format("root:x:0:\n{}:x:{}:\n", user.name, user.gid);
}

}  // namespace pgtwig::runtime
