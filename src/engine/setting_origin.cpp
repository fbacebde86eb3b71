#include "engine/setting_origin.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace pgtwig::engine {
namespace {

bool is_part_of_a_name(char letter) {
  return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') || (letter >= '0' && letter <= '9') ||
         letter == '_' || letter == '.';
}

// As a word of its own, in whatever quotes PostgreSQL's language has.
bool is_named_in(std::string_view words, std::string_view name) {
  for (auto at = words.find(name); at != words.npos; at = words.find(name, at + 1)) {
    const auto end = at + name.size();
    const bool begins = at == 0 || !is_part_of_a_name(words[at - 1]);
    const bool ends = end == words.size() || !is_part_of_a_name(words[end]);
    if (begins && ends) return true;
  }
  return false;
}

// The first of these that is named.
std::optional<catalog::Settings::value_type> named_of(const catalog::Settings& settings, std::string_view words) {
  const auto found = std::ranges::find_if(settings, [&](const auto& one) { return is_named_in(words, one.first); });
  if (found == settings.end()) return std::nullopt;
  return *found;
}

std::string hint_about_key(Engine& engine, const std::string& key) {
  return fmt::format(
      "{} of {} gives it: `pgtwig config unset {}`, or `pgtwig config set` it, then `pgtwig daemon stop`, as the next "
      "daemon reads it",
      key, engine.paths().config_file.string(), key);
}

}  // namespace

std::optional<std::string> hint_about_setting(Engine& engine, const Body& body, const std::string& words) {
  // As user_settings() has them, the one that counts first.
  if (const auto setting = named_of(body.branch.settings, words)) {
    const auto& [name, value] = *setting;
    std::string what = fmt::format("{}={} is a setting of {} itself (--set)", name, value, body.name());
    const auto recorded = engine.catalog().find_branch(body.branch.id);
    if (!recorded || !recorded->settings.contains(name)) return what;  // it is of this very command
    return fmt::format("{}; `pgtwig start {} --set {}=` takes it back", what, body.name(), name);
  }
  if (const auto setting = named_of(body.project.settings, words)) {
    return fmt::format("{}={} is a setting of the project {} (--set)", setting->first, setting->second,
                       body.project.name.text());
  }
  for (const auto& [name, value] : engine.config().postgres_settings) {
    if (is_named_in(words, name)) return hint_about_key(engine, "postgres.settings." + name);
  }
  if (!body.branch.name.is_main() && is_named_in(words, "shared_buffers")) {
    return hint_about_key(engine, "branch.shared_buffers");
  }
  return std::nullopt;
}

}  // namespace pgtwig::engine
