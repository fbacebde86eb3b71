// pgtwig operation: what was changed, when, in which steps and with what outcome.
#include <fmt/format.h>

#include "cli/answers.h"
#include "cli/commands/commands.h"

namespace pgtwig::cli {
namespace {

constexpr int default_limit = 50;

int list_operations(Session& session) {
  auto limit = session.invocation().find("limit");
  print_operations(
      session, session.api().request("GET", "/v1/operations?limit=" + limit.value_or(std::to_string(default_limit))));
  return 0;
}

int get_operation(Session& session) {
  print_operation(session, session.api().request(
                               "GET", "/v1/operations/" + client::encode_segment(session.invocation().get("ID"))));
  return 0;
}

int cancel_operation(Session& session) {
  const std::string& id = session.invocation().get("ID");
  std::string result = session.api().request("DELETE", "/v1/operations/" + client::encode_segment(id));
  print_answer(session, {.json = result, .table = [&](const Terminal&) {
                           session.say(fmt::format("Operation {} is asked to stop; what it had made goes", id));
                           return std::string();
                         }});
  return 0;
}

}  // namespace

Command operation_commands() {
  Command list{.names = {"list", "ls"},
               .summary = "List the latest operations, newest first",
               .options = {{.names = {"--limit", "-n"},
                            .value_name = "N",
                            .kind = ValueKind::count,
                            .help = fmt::format("at most so many; without it {}", default_limit)},
                           list_format_option()},
               .formats = named_formats(),
               .examples = {{"pgtwig operation list --limit 5", ""}},
               .run = list_operations};
  Command get{.names = {"get", "show", "info"},
              .summary = "Show an operation with its steps",
              .arguments = {{.name = "ID", .kind = ValueKind::operation, .help = "its id, or the beginning of it"}},
              .formats = named_formats(),
              .examples = {{"pgtwig operation get 3f2a9c", ""}},
              .run = get_operation};
  Command cancel{.names = {"cancel"},
                 .summary = "Ask a running operation to stop",
                 .description =
                     "It fails with code cancelled, leaves nothing behind, and what it was to change is as it was. "
                     "One that has done its work already can't be cancelled.",
                 .arguments = {{.name = "ID", .kind = ValueKind::operation, .help = "its id, or the beginning of it"}},
                 .formats = plain_formats(),
                 .examples = {{"pgtwig operation cancel 3f2a9c", ""}},
                 .run = cancel_operation};
  return {.names = {"operation", "op", "job"},
          .summary = "Operations: what was changed, with steps and times",
          .section = "The machine",
          .commands = {list, get, cancel}};
}

}  // namespace pgtwig::cli
