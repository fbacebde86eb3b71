#include "proxy/route.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "proxy/wire/option_words.h"

namespace pgtwig::proxy {
namespace {

// Into which database a client goes that named a branch by its database.
constexpr const char* usual_database = "postgres";

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(), [](char letter) {
    return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
  });
  return result;
}

template <class Name>
Name require_name(std::string_view text, std::string_view place) {
  auto name = Name::parse(text);
  if (name) return *name;
  throw Error(ErrorCode::invalid_argument, fmt::format("{} names no branch: {}", place, name.error()),
              "a branch is named as in demo/dev, or dev in the current project");
}

// The first '/' ends the project's name, as everywhere.
BranchChoice parse_choice(std::string_view text, std::string_view place) {
  const std::size_t slash = text.find('/');
  if (slash == text.npos) return {.branch = require_name<BranchName>(text, place)};
  return {.project = require_name<ProjectName>(text.substr(0, slash), place),
          .branch = require_name<BranchName>(text.substr(slash + 1), place)};
}

struct Said {
  BranchChoice choice;
  std::string place;
};

// What is behind the last '@' of a parameter, which keeps the rest. Branch names have no '@', others may.
std::optional<Said> take_suffix(wire::StartUp& start_up, const std::string& parameter, const std::string& place) {
  const std::string* value = start_up.find(parameter);
  const std::size_t at = value ? value->rfind('@') : std::string::npos;
  if (at == std::string::npos) return std::nullopt;
  Said said{parse_choice(value->substr(at + 1), fmt::format("the {} '{}'", place, *value)), place};
  start_up.set(parameter, value->substr(0, at));
  return said;
}

std::optional<Said> take_setting(wire::StartUp& start_up) {
  auto value = start_up.take(branch_setting);
  if (auto options = start_up.take("options")) {
    if (auto in_options = wire::take_setting(*options, branch_setting)) value = in_options;
    if (!options->empty()) start_up.set("options", *options);
  }
  if (!value || value->empty()) return std::nullopt;
  return Said{parse_choice(*value, branch_setting), fmt::format("setting {}", branch_setting)};
}

std::optional<Said> take_database(wire::StartUp& start_up) {
  const std::string* database = start_up.find("database");
  if (!database || database->empty()) return std::nullopt;
  Said said{parse_choice(*database, fmt::format("the database '{}'", *database)), "database"};
  start_up.set("database", usual_database);
  return said;
}

// `said` and what was said before; a name without a project agrees with one that has it.
void agree(std::optional<Said>& before, std::optional<Said> said) {
  if (!said) return;
  if (!before) {
    before = std::move(said);
    return;
  }
  const bool same_project =
      !before->choice.project || !said->choice.project || before->choice.project == said->choice.project;
  if (before->choice.branch != said->choice.branch || !same_project) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("two branches are asked for: {} by the {}, {} by the {}", before->choice.text(),
                            before->place, said->choice.text(), said->place),
                "name one of them only");
  }
  if (!before->choice.project) before = std::move(said);
}

}  // namespace

std::optional<BranchChoice> choice_of_server_name(std::string_view name, std::string_view domain) {
  const std::string host = lower(name);
  const std::string suffix = "." + lower(domain);
  if (!host.ends_with(suffix)) return std::nullopt;
  const std::string_view labels = std::string_view(host).substr(0, host.size() - suffix.size());
  const std::size_t dot = labels.rfind('.');
  const std::string place = fmt::format("the host name {}", host);
  if (dot == labels.npos) {
    throw Error(ErrorCode::invalid_argument, fmt::format("{} names no branch", place),
                fmt::format("below {} names are <branch>.<project>.{}", domain, domain));
  }
  return BranchChoice{.project = require_name<ProjectName>(labels.substr(dot + 1), place),
                      .branch = require_name<BranchName>(labels.substr(0, dot), place)};
}

std::optional<BranchChoice> take_route(wire::StartUp& start_up, const std::optional<std::string>& server_name,
                                       const RouteRules& rules) {
  std::optional<Said> said = take_setting(start_up);
  agree(said, take_suffix(start_up, "database", "database"));
  agree(said, take_suffix(start_up, "user", "user"));
  if (server_name) {
    if (auto choice = choice_of_server_name(*server_name, rules.domain)) agree(said, Said{*choice, "host name"});
  }
  if (!said && rules.database_is_branch && !wire::is_physical_replication(start_up)) said = take_database(start_up);
  const std::string* user = start_up.find("user");
  if (!user || user->empty()) {
    throw Error(ErrorCode::invalid_argument, "the start-up names no user", "give one: psql -U postgres");
  }
  // PostgreSQL's own default, which the part before an '@' may have left empty.
  if (const std::string* database = start_up.find("database"); database && database->empty()) start_up.take("database");
  if (!said) return std::nullopt;
  return said->choice;
}

}  // namespace pgtwig::proxy
