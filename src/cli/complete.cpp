#include "cli/complete.h"

#include <algorithm>
#include <exception>

#include "base/config.h"
#include "base/error.h"
#include "cli/answers.h"
#include "cli/registry.h"
#include "cli/render/style.h"
#include "cli/targets.h"

namespace pgtwig::cli {
namespace {

constexpr std::size_t most_operations = 20;

// How far the words before the cursor have come.
struct Position {
  const Command* command = &root_command();
  std::size_t arguments = 0;             // positional words of the command so far
  const Option* awaits_value = nullptr;  // the option before the cursor takes the word as its value
  bool is_behind_dashes = false;
  std::vector<Option> options;      // of the command
  std::string project;              // --project's value
  std::vector<std::string> values;  // words so far that are no options and no commands
};

// What is being typed, and what was before it.
struct Typed {
  std::string word;
  std::string project;  // --project's value
  std::vector<std::string> values{};
};

const Option* find_option(const std::vector<Option>& options, const std::string& name) {
  for (const auto& option : options)
    if (std::find(option.names.begin(), option.names.end(), name) != option.names.end()) return &option;
  return nullptr;
}

// nullopt where the words lead to no command.
std::optional<Position> find_position(const std::vector<std::string>& before) {
  Position position;
  position.options = options_of(*position.command);
  for (std::size_t i = 0; i < before.size(); ++i) {
    const std::string& word = before[i];
    if (position.is_behind_dashes) continue;
    if (word == "--") {
      position.is_behind_dashes = true;
    } else if (word.size() > 1 && word.front() == '-') {
      const Option* option = find_option(position.options, word);
      if (option == nullptr || option->is_switch()) continue;
      if (i + 1 == before.size()) {
        position.awaits_value = option;
      } else {
        ++i;
        position.values.push_back(before[i]);
        if (option->names.front() == "--project") position.project = before[i];
      }
    } else if (position.command->is_group()) {
      position.command = find_command(*position.command, word);
      if (position.command == nullptr) return std::nullopt;
      position.options = options_of(*position.command);
    } else {
      position.values.push_back(word);
      ++position.arguments;
    }
  }
  return position;
}

// Asks the daemon that runs, if one does.
template <class Ask>
void offer_live(Session& session, Ask&& ask) {
  try {
    Api& api = session.api_without_start();
    if (api.is_daemon_running()) ask(api);
  } catch (const std::exception&) {
    // A shell at its prompt is no place for an error.
  }
}

void offer_projects(Session& session, Completion& completion, const std::string& suffix) {
  offer_live(session, [&](Api& api) {
    for (const auto& project : read_projects(api.request("GET", "/v1/projects")))
      completion.candidates.push_back({project.name + suffix, "project"});
  });
}

std::string project_of(const Session& session, const Typed& typed) {
  if (!typed.project.empty()) return typed.project;
  auto chosen = chosen_project(session);
  return chosen ? chosen->text() : "";
}

// `name` in full; and without its project, where that is the chosen one and the rest could not be taken for a
// project's.
void offer_name(Completion& completion, const Typed& typed, const std::string& project, const std::string& name,
                const std::string& meaning) {
  completion.candidates.push_back({name, meaning});
  if (typed.word.empty() || !name.starts_with(project + "/")) return;
  std::string short_name = name.substr(project.size() + 1);
  if (short_name.find('/') == std::string::npos || !typed.project.empty())
    completion.candidates.push_back({short_name, meaning});
}

void offer_branches(Session& session, Completion& completion, const Typed& typed) {
  offer_live(session, [&](Api& api) {
    const std::string project = project_of(session, typed);
    for (const auto& branch : read_branches(api.request("GET", "/v1/branches")))
      offer_name(completion, typed, project, branch.name, branch.state);
  });
}

std::string meaning_of(const engine::SnapshotView& snapshot) {
  return snapshot.message.empty() ? snapshot.kind + " snapshot" : without_control_characters(snapshot.message);
}

void offer_snapshots(Session& session, Completion& completion, const Typed& typed) {
  offer_live(session, [&](Api& api) {
    const std::string project = project_of(session, typed);
    for (const auto& snapshot : read_snapshots(api.request("GET", "/v1/snapshots")))
      offer_name(completion, typed, project, snapshot.name, meaning_of(snapshot));
  });
}

// Snapshots by their name alone: of the branches that the line names already, of all where it names none.
void offer_points(Session& session, Completion& completion, const Typed& typed) {
  offer_live(session, [&](Api& api) {
    const std::string project = project_of(session, typed);
    auto snapshots = read_snapshots(api.request("GET", "/v1/snapshots"));
    auto is_named = [&](const engine::SnapshotView& snapshot) {
      const std::string branch = snapshot.project + "/" + snapshot.branch;
      return std::any_of(typed.values.begin(), typed.values.end(), [&](const std::string& value) {
        return value == branch || (snapshot.project == project && value == snapshot.branch);
      });
    };
    const bool any_is_named = std::any_of(snapshots.begin(), snapshots.end(), is_named);
    for (const auto& snapshot : snapshots)
      if (!any_is_named || is_named(snapshot))
        completion.candidates.push_back({snapshot.snapshot, meaning_of(snapshot)});
  });
}

void offer_pools(Session& session, Completion& completion) {
  offer_live(session, [&](Api& api) {
    for (const auto& pool : read_pools(api.request("GET", "/v1/pools")))
      completion.candidates.push_back({pool.name, pool.driver});
  });
}

void offer_operations(Session& session, Completion& completion) {
  offer_live(session, [&](Api& api) {
    auto limit = std::to_string(most_operations);
    for (const auto& operation : read_operations(api.request("GET", "/v1/operations?limit=" + limit)))
      completion.candidates.push_back({operation.id, operation.kind + " " + operation.target});
  });
}

void offer_commands(Completion& completion, const Command& group, const std::string& word) {
  for (const auto& command : group.commands) {
    if (command.is_hidden) continue;
    completion.candidates.push_back({command.name(), command.summary});
    for (std::size_t i = 1; i < command.names.size(); ++i)  // aliases only where one is being typed
      if (!word.empty()) completion.candidates.push_back({command.names[i], command.summary});
  }
}

// Where `words` lead; a command that has no others where they lead nowhere.
const Command& group_of(const std::vector<std::string>& words) {
  static const Command none;
  const Command* group = &root_command();
  for (const auto& word : words)
    if (group != nullptr) group = find_command(*group, word);
  return group == nullptr ? none : *group;
}

void offer_values(Session& session, Completion& completion, ValueKind kind, const std::vector<std::string>& choices,
                  const Typed& typed) {
  switch (kind) {
    case ValueKind::choice:
      for (const auto& choice : choices) completion.candidates.push_back({choice, ""});
      return;
    case ValueKind::project:
      return offer_projects(session, completion, "");
    case ValueKind::branch:
      return offer_branches(session, completion, typed);
    case ValueKind::branch_at_point:
      if (typed.word.find('@') != std::string::npos) return offer_snapshots(session, completion, typed);
      return offer_branches(session, completion, typed);
    case ValueKind::snapshot:
      return offer_snapshots(session, completion, typed);
    case ValueKind::point:
      return offer_points(session, completion, typed);
    case ValueKind::new_branch:
      return offer_projects(session, completion, "/");
    case ValueKind::project_or_branch:
      offer_projects(session, completion, "");
      return offer_branches(session, completion, typed);
    case ValueKind::pool:
      return offer_pools(session, completion);
    case ValueKind::operation:
      return offer_operations(session, completion);
    case ValueKind::config_key:
      for (const auto& key : config_keys()) completion.candidates.push_back({key.name, key.description});
      return;
    case ValueKind::command:
      return offer_commands(completion, group_of(typed.values), typed.word);
    case ValueKind::file:
      completion.files = FileWish::files;
      return;
    case ValueKind::directory:
      completion.files = FileWish::directories;
      return;
    case ValueKind::text:
    case ValueKind::text_or_nothing:
    case ValueKind::new_project:
    case ValueKind::new_pool:
    case ValueKind::port:
    case ValueKind::size:
    case ValueKind::duration:
    case ValueKind::interval:
    case ValueKind::days:
    case ValueKind::count:
    case ValueKind::setting:
      return;
  }
}

void offer_options(Completion& completion, const std::vector<Option>& options) {
  for (const auto& option : options) {
    if (option.is_hidden) continue;
    for (const auto& name : option.names)
      if (name.starts_with("--")) completion.candidates.push_back({name, option.help});
  }
}

// "--from=demo" is completed as the value of --from, with the option before it.
void offer_joined_value(Session& session, Completion& completion, const Position& position, const std::string& word) {
  auto equals = word.find('=');
  const Option* option = find_option(position.options, word.substr(0, equals));
  if (option == nullptr || option->is_switch()) return;
  offer_values(session, completion, option->kind, option->choices,
               {.word = word.substr(equals + 1), .project = position.project, .values = position.values});
  for (auto& candidate : completion.candidates) candidate.text.insert(0, word.substr(0, equals + 1));
}

}  // namespace

Completion complete_words(Session& session, const std::vector<std::string>& words) {
  Completion completion;
  if (words.empty()) return completion;
  const std::string& word = words.back();
  auto position = find_position({words.begin(), words.end() - 1});
  if (!position) return completion;
  const Command& command = *position->command;
  const Typed typed{.word = word, .project = position->project, .values = position->values};
  if (position->awaits_value != nullptr) {
    offer_values(session, completion, position->awaits_value->kind, position->awaits_value->choices, typed);
  } else if (position->is_behind_dashes && !command.rest.empty()) {
    completion.files = FileWish::files;
  } else if (word.starts_with("-") && word.find('=') != std::string::npos) {
    offer_joined_value(session, completion, *position, word);
  } else if (word.starts_with("-")) {
    offer_options(completion, position->options);
  } else if (command.is_group()) {
    offer_commands(completion, command, word);
  } else if (!command.arguments.empty()) {
    const Argument& last = command.arguments.back();
    bool is_within = position->arguments < command.arguments.size();
    if (is_within || last.is_repeatable) {
      const Argument& argument = is_within ? command.arguments[position->arguments] : last;
      offer_values(session, completion, argument.kind, argument.choices, typed);
    }
  }
  std::erase_if(completion.candidates, [&](const Candidate& candidate) { return !candidate.text.starts_with(word); });
  return completion;
}

}  // namespace pgtwig::cli
