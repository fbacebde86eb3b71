#include "runtime/container/engine_images.h"

#include <fmt/format.h>

#include <boost/json.hpp>

#include "base/error.h"
#include "base/fs.h"

namespace pgtwig::runtime {
namespace {

namespace json = boost::json;
using namespace std::chrono_literals;

constexpr auto ask_timeout = 60s;
// A large image over a slow line.
constexpr auto pull_timeout = 60min;

std::string text_of(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  return value != nullptr && value->is_string() ? json::value_to<std::string>(*value) : std::string();
}

}  // namespace

void write_user_files(const ContainerOptions& options, const OsUser& user) {
  make_directories(options.directory, 0755);
  const auto write = [](const std::filesystem::path& file, const std::string& text) {
    if (read_file_if_exists(file) != text) write_file(file, text, 0644);
  };
  write(passwd_file(options), passwd_text(user));
  write(group_file(options), group_text(user));
}

Image parse_image_inspection(std::string_view text) {
  boost::system::error_code error;
  const json::value value = json::parse(text, error);
  if (error || !value.is_array() || value.get_array().empty() || !value.get_array().front().is_object()) {
    throw Error(ErrorCode::internal,
                "the container engine describes an image in a way that pgtwig does not understand");
  }
  const json::object& object = value.get_array().front().get_object();
  Image image{
      .id = text_of(object, "Id"), .digest = {}, .architecture = text_of(object, "Architecture"), .volumes = {}};
  if (const json::value* digests = object.if_contains("RepoDigests"); digests != nullptr && digests->is_array()) {
    for (const json::value& digest : digests->get_array()) {
      if (digest.is_string() && image.digest.empty()) image.digest = json::value_to<std::string>(digest);
    }
  }
  if (const json::value* config = object.if_contains("Config"); config != nullptr && config->is_object()) {
    const json::value* volumes = config->get_object().if_contains("Volumes");
    if (volumes != nullptr && volumes->is_object()) {
      for (const auto& volume : volumes->get_object()) image.volumes.emplace_back(volume.key());
    }
  }
  return image;
}

Image EngineImages::find(const std::string& reference, bool pull) {
  if (reference.empty() || reference.starts_with('-')) {
    throw Error(ErrorCode::invalid_argument, fmt::format("'{}' is not the name of an image", reference));
  }
  if (pull) {
    engine_.require({"pull", "--quiet", reference}, pull_timeout, fmt::format("cannot pull {}", reference),
                    ErrorCode::not_available);
  }
  const EngineResult result = engine_.ask({"image", "inspect", reference}, ask_timeout);
  if (result.succeeded) return parse_image_inspection(result.output);
  if (classify(result.error_output) != EngineFailure::image_missing) {
    throw Error(ErrorCode::internal,
                fmt::format("{} cannot look at {}: {}", dialect_.name, reference, engine_words(result.error_output)));
  }
  throw Error(ErrorCode::not_found, fmt::format("{} has no image {} on this machine", dialect_.name, reference),
              fmt::format("`{} pull {}` fetches it, and so does --pull", dialect_.name, reference));
}

Command EngineImages::command_in(const std::string& image, Command command, const std::vector<Share>& shares) {
  Tool tool{.image = image,
            .argv = std::move(command.argv),
            .user = command.user.value(),
            .environment = {},
            .shares = shares};
  // Values stay out of the command line, which everybody on the machine can read.
  for (const auto& [name, value] : command.environment) tool.environment.push_back(name);
  write_user_files(options_, tool.user);
  command.argv = tool_command(dialect_, options_, tool);
  command.user.reset();  // the engine makes it that user
  return command;
}

}  // namespace pgtwig::runtime
