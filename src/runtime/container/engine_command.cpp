#include "runtime/container/engine_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/error.h"

namespace pgtwig::runtime {
namespace {

struct Sign {
  std::string_view words;
  EngineFailure failure;
};

// Docker 20.10 to 28, Podman 4.3 to 5, nerdctl 1 and 2, in lower case. The first that is found decides.
constexpr auto signs = std::to_array<Sign>({
    {"cannot connect to the docker daemon", EngineFailure::absent},
    {"failed to connect to the docker api", EngineFailure::absent},
    {"error during connect", EngineFailure::absent},
    {"cannot access containerd socket", EngineFailure::absent},
    {"connect to the docker daemon socket", EngineFailure::absent},
    {"cannot connect to podman", EngineFailure::absent},
    {"no such image", EngineFailure::image_missing},
    {"image not known", EngineFailure::image_missing},
    {"no such object", EngineFailure::no_container},
    {"no such container", EngineFailure::no_container},
    {"no container with name or id", EngineFailure::no_container},
    {"unable to find image", EngineFailure::image_missing},
    {"port is already allocated", EngineFailure::port_taken},
    {"address already in use", EngineFailure::port_taken},
    {"is already in use", EngineFailure::name_taken},
    {"already used by id", EngineFailure::name_taken},
    {"name-store error", EngineFailure::name_taken},
});

std::string lower_case(std::string_view text) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return lower;
}

}  // namespace

EngineFailure classify(std::string_view words) {
  const std::string lower = lower_case(words);
  for (const Sign& sign : signs) {
    if (lower.find(sign.words) != std::string::npos) return sign.failure;
  }
  return EngineFailure::other;
}

std::string engine_words(std::string_view error_output) {
  std::string last;
  while (!error_output.empty()) {
    const auto end = error_output.find('\n');
    std::string_view line = error_output.substr(0, end);
    error_output = end == std::string_view::npos ? std::string_view{} : error_output.substr(end + 1);
    const bool is_advice =
        line.starts_with("See '") || line.starts_with("Run '") || line.find("level=warning") != line.npos;
    while (line.ends_with(' ') || line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty() && !is_advice) last = line;
  }
  for (const std::string_view prefix : {"docker: ", "Error response from daemon: ", "Error: "}) {
    if (last.starts_with(prefix)) last.erase(0, prefix.size());
  }
  return last;
}

std::optional<Error> EngineCommand::unusable(std::string_view words) const {
  if (classify(words) != EngineFailure::absent) return std::nullopt;
  if (lower_case(words).find("permission denied") != std::string::npos) {
    return Error(ErrorCode::not_allowed,
                 fmt::format("this user may not use {}: {}", dialect_.name, engine_words(words)),
                 fmt::format("as root: usermod -aG {} USER, then log in again and `pgtwig daemon stop`; or use podman, "
                             "which needs no daemon",
                             dialect_.name));
  }
  return Error(ErrorCode::not_available, fmt::format("{} does not run: {}", dialect_.service, engine_words(words)),
               fmt::format("start it (systemctl start {}) and try again; nothing is lost", dialect_.name));
}

EngineResult EngineCommand::run(std::vector<std::string> argv, std::chrono::milliseconds timeout) const {
  CommandResult result;
  try {
    result = run_command({.argv = std::move(argv), .timeout = timeout});
  } catch (Error& error) {
    if (error.code() == ErrorCode::not_available) {
      error.set_hint(
          dialect_.package.empty()
              ? fmt::format("install {}, or choose another runtime", dialect_.name)
              : fmt::format("install it (Debian: apt install {}), or choose another runtime: `pgtwig project "
                            "runtime PROJECT native`",
                            dialect_.package));
    }
    throw;
  }
  if (result.exit_status != 0) {
    if (auto error = unusable(result.error_output)) throw *std::move(error);
  }
  return {.succeeded = result.exit_status == 0,
          .output = std::move(result.output),
          .error_output = std::move(result.error_output)};
}

EngineResult EngineCommand::ask(std::vector<std::string> arguments, std::chrono::milliseconds timeout) const {
  arguments.insert(arguments.begin(), std::string(dialect_.name));
  return run(std::move(arguments), timeout);
}

std::string EngineCommand::require(std::vector<std::string> arguments, std::chrono::milliseconds timeout,
                                   std::string_view action, ErrorCode code) const {
  EngineResult result = ask(std::move(arguments), timeout);
  if (result.succeeded) return std::move(result.output);
  throw Error(code, fmt::format("{}: {}", action, engine_words(result.error_output)));
}

}  // namespace pgtwig::runtime
