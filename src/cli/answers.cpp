#include "cli/answers.h"

#include <fmt/format.h>

#include <boost/json.hpp>

#include "api/json.h"
#include "base/error.h"
#include "cli/render/text_formats.h"
#include "cli/render/views.h"
#include "cli/request.h"
#include "cli/targets.h"

namespace pgtwig::cli {
namespace {

namespace json = boost::json;

template <class View>
std::vector<View> read_list(const std::string& text, const char* key) {
  boost::system::error_code error;
  json::value value = json::parse(text, error);
  const json::object* object = error ? nullptr : value.if_object();
  const json::value* list = object == nullptr ? nullptr : object->if_contains(key);
  if (list == nullptr || !list->is_array())
    throw Error(ErrorCode::internal, fmt::format("the daemon's answer has no list of {}", key));
  std::vector<View> views;
  for (const auto& element : list->get_array()) views.push_back(api::from_json<View>(json::serialize(element)));
  return views;
}

template <class View>
std::vector<std::string> names_of(const std::vector<View>& views) {
  std::vector<std::string> names;
  for (const auto& view : views) names.push_back(view.name);
  return names;
}

void print_credentials(Session& session, const std::vector<std::string>& branches) {
  if (session.format() == Format::env && branches.size() != 1)
    throw Error(ErrorCode::invalid_argument, "-o env is for one branch", "name one: `pgtwig env BRANCH`");
  for (const auto& name : branches) {
    BranchPath branch = parse_branch_path(session, "branch", name);
    auto credentials = read_credentials(session, branch);
    if (session.format() == Format::dsn)
      session.print(credentials.url + "\n");
    else
      session.print(render_environment(connection_variables(credentials, branch)));
  }
}

template <class View>
void print_list(Session& session, const std::string& text, const char* key,
                std::string (*table)(const std::vector<View>&, const Terminal&, TimePoint)) {
  Answer answer;
  answer.json = text;
  answer.table = [&](const Terminal& terminal) {
    auto views = read_list<View>(text, key);
    if (views.empty() && session.console().words_terminal().is_terminal)
      session.say(fmt::format("There are no {} yet.", key));
    return table(views, terminal, session.world().clock->now());
  };
  if constexpr (requires(View view) { view.name; })
    answer.names = [&] { return names_of(read_list<View>(text, key)); };
  else
    answer.names = [&] {
      std::vector<std::string> ids;
      for (const auto& view : read_list<View>(text, key)) ids.push_back(view.id);
      return ids;
    };
  answer.branches = answer.names;
  print_answer(session, answer);
}

template <class View>
void print_one(Session& session, const std::string& text, std::string (*card)(const View&, const Terminal&, TimePoint),
               const std::function<std::vector<std::string>(const View&)>& branches) {
  Answer answer;
  answer.json = text;
  answer.table = [&](const Terminal& terminal) {
    return card(api::from_json<View>(text), terminal, session.world().clock->now());
  };
  answer.names = [&]() -> std::vector<std::string> {
    if constexpr (requires(View view) { view.name; })
      return {api::from_json<View>(text).name};
    else
      return {api::from_json<View>(text).id};
  };
  answer.branches = [&] { return branches(api::from_json<View>(text)); };
  print_answer(session, answer);
}

template <class View>
std::vector<std::string> no_branches(const View&) {
  return {};
}

}  // namespace

std::vector<engine::ProjectView> read_projects(const std::string& text) {
  return read_list<engine::ProjectView>(text, "projects");
}
std::vector<engine::BranchView> read_branches(const std::string& text) {
  return read_list<engine::BranchView>(text, "branches");
}
std::vector<engine::PoolView> read_pools(const std::string& text) {
  return read_list<engine::PoolView>(text, "pools");
}
std::vector<engine::OperationView> read_operations(const std::string& text) {
  return read_list<engine::OperationView>(text, "operations");
}

std::vector<engine::SnapshotView> read_snapshots(const std::string& text) {
  return read_list<engine::SnapshotView>(text, "snapshots");
}

void print_answer(Session& session, const Answer& answer) {
  const Terminal& terminal = session.console().data_terminal();
  switch (session.format()) {
    case Format::table:
      return session.print(answer.table(terminal));
    case Format::json:
      return session.print(render_json(answer.json, terminal.is_terminal));
    case Format::yaml:
      return session.print(render_yaml(answer.json));
    case Format::name:
      for (const auto& name : answer.names()) session.print(name + "\n");
      return;
    case Format::dsn:
    case Format::env:
      return print_credentials(session, answer.branches());
  }
}

void print_deleted(Session& session, const std::string& subject, const std::string& text) {
  auto names = texts_of(json::parse(text), "deleted");
  Answer answer;
  answer.json = text;
  answer.names = [&] { return names; };
  answer.table = [&](const Terminal&) {
    session.say(names.empty() ? fmt::format("There is no {}: nothing to delete", subject)
                              : fmt::format("Deleted {}", fmt::join(names, ", ")));
    return std::string();
  };
  print_answer(session, answer);
}

void print_branches(Session& session, const std::string& text) {
  print_list<engine::BranchView>(session, text, "branches", branch_table);
}

void print_branch(Session& session, const std::string& text) {
  print_one<engine::BranchView>(session, text, branch_card,
                                [](const engine::BranchView& view) { return std::vector{view.name}; });
}

void print_projects(Session& session, const std::string& text) {
  print_list<engine::ProjectView>(session, text, "projects", project_table);
}

void print_project(Session& session, const std::string& text) {
  print_one<engine::ProjectView>(session, text, project_card,
                                 [](const engine::ProjectView& view) { return std::vector{view.name + "/main"}; });
}

void print_pools(Session& session, const std::string& text) {
  print_list<engine::PoolView>(session, text, "pools", pool_table);
}

void print_pool(Session& session, const std::string& text) {
  print_one<engine::PoolView>(session, text, pool_card, no_branches<engine::PoolView>);
}

void print_operations(Session& session, const std::string& text) {
  print_list<engine::OperationView>(session, text, "operations", operation_table);
}

void print_operation(Session& session, const std::string& text) {
  print_one<engine::OperationView>(session, text, operation_card, no_branches<engine::OperationView>);
}

void print_snapshots(Session& session, const std::string& text) {
  print_list<engine::SnapshotView>(session, text, "snapshots", snapshot_table);
}

void print_snapshot(Session& session, const std::string& text) {
  print_one<engine::SnapshotView>(session, text, snapshot_card, no_branches<engine::SnapshotView>);
}

void print_history(Session& session, const std::string& text) {
  print_list<engine::LogEntryView>(session, text, "history", history_table);
}

std::vector<std::pair<std::string, std::string>> connection_variables(const engine::CredentialsView& credentials,
                                                                      const BranchPath& branch) {
  return {{"PGHOST", credentials.host},
          {"PGPORT", std::to_string(credentials.port)},
          {"PGUSER", credentials.user},
          {"PGPASSWORD", credentials.password},
          {"PGDATABASE", credentials.database},
          {"DATABASE_URL", credentials.url},
          {"PGTWIG_PROJECT", branch.project.text()},
          {"PGTWIG_BRANCH", branch.branch.text()}};
}

engine::CredentialsView read_credentials(Session& session, const BranchPath& branch) {
  return api::from_json<engine::CredentialsView>(session.api().request("GET", target_of(branch) + "/credentials"));
}

}  // namespace pgtwig::cli
