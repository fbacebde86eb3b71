// pgtwig snapshot schedule: the snapshots that the daemon takes by itself.
#include <fmt/format.h>

#include "api/json.h"
#include "base/error.h"
#include "cli/answers.h"
#include "cli/commands/snapshot.h"
#include "cli/render/table.h"
#include "cli/render/views.h"
#include "cli/request.h"
#include "cli/targets.h"

namespace pgtwig::cli {
namespace {

std::string moment_or_nothing(const std::optional<TimePoint>& time, TimePoint now) {
  return time ? format_moment(*time, now) : "";
}

std::string schedule_card(const engine::ScheduleView& schedule, const Terminal& terminal, TimePoint now) {
  return render_card({{"Branch", schedule.branch},
                      {"Every", schedule.every},
                      {"Keep", schedule.keep},
                      {"From", schedule.is_default ? "the configuration" : "this branch"},
                      {"Last", moment_or_nothing(schedule.last, now)},
                      {"Next", moment_or_nothing(schedule.next, now)}},
                     terminal);
}

void print_schedule(Session& session, const std::string& result) {
  print_answer(session, {.json = result, .table = [&](const Terminal& terminal) {
                           return schedule_card(api::from_json<engine::ScheduleView>(result), terminal,
                                                session.world().clock->now());
                         }});
}

int get_schedule(Session& session) {
  BranchPath branch = branch_or_current(session, "BRANCH");
  print_schedule(session, session.api().request("GET", target_of(branch) + "/schedule"));
  return 0;
}

int set_schedule(Session& session) {
  BranchPath branch = branch_argument(session, "BRANCH");
  auto every = session.invocation().find("every");
  auto keep = session.invocation().find("keep");
  if (!every && !keep)
    throw Error(ErrorCode::invalid_argument, fmt::format("`{}` needs --every or --keep", session.path().text()),
                "for example: --every 1h --keep 24h,14d,8w; `snapshot schedule unset` goes back to the configuration");
  RequestBody body;
  if (every) body.set("every", *every);
  if (keep) body.set("keep", *keep);
  print_schedule(session, session.api().request("PUT", target_of(branch) + "/schedule", body.text()));
  return 0;
}

int unset_schedule(Session& session) {
  BranchPath branch = branch_argument(session, "BRANCH");
  print_schedule(session, session.api().request("PUT", target_of(branch) + "/schedule", "{}"));
  return 0;
}

}  // namespace

Command schedule_commands() {
  Command get{.names = {"get", "show", "info"},
              .summary = "Show a branch's schedule",
              .arguments = {{.name = "BRANCH",
                             .kind = ValueKind::branch,
                             .help = "without it the branch chosen by `pgtwig use`",
                             .is_required = false}},
              .formats = plain_formats(),
              .examples = {{"pgtwig snapshot schedule get demo/main", ""}},
              .run = get_schedule};
  Command set{
      .names = {"set"},
      .summary = "Let the daemon take snapshots of a branch",
      .description =
          "Nothing is taken while the branch doesn't change. Pruned are only snapshots that the schedule itself "
          "took, and never those with branches, the newest, or those that the promised window of recovery needs.",
      .arguments = {{.name = "BRANCH", .kind = ValueKind::branch, .help = "the branch"}},
      .options = {{.names = {"--every"},
                   .value_name = "DURATION",
                   .kind = ValueKind::interval,
                   .help = "how often: 30m, 1h, 1d; or off"},
                  {.names = {"--keep"},
                   .value_name = "RULES",
                   .help = "which stay: 24h,14d,8w is one an hour for 24 hours, one a day for 14 days, one a week "
                           "for 8 weeks"}},
      .formats = plain_formats(),
      .examples = {{"pgtwig snapshot schedule set demo/dev --every 1h --keep 24h,14d,8w", ""},
                   {"pgtwig snapshot schedule set demo/main --every off", "none by itself"}},
      .run = set_schedule};
  Command unset{.names = {"unset"},
                .summary = "Go back to the configured schedule",
                .arguments = {{.name = "BRANCH", .kind = ValueKind::branch, .help = "the branch"}},
                .formats = plain_formats(),
                .examples = {{"pgtwig snapshot schedule unset demo/main", ""}},
                .run = unset_schedule};
  return {.names = {"schedule"},
          .summary = "Snapshots that are taken, and pruned, by themselves",
          .commands = {get, set, unset}};
}

}  // namespace pgtwig::cli
