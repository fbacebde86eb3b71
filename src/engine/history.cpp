// The history of a branch, as git log shows commits; and the end of operations that somebody no longer wants.
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "engine/body.h"
#include "engine/operation.h"
#include "engine/use_cases.h"

namespace pgtwig::engine {
namespace {

LogEntryView entry_of(const catalog::IncarnationRecord& body) {
  std::string text = body.cause;
  if (!body.origin.empty()) text += (body.cause == "create" ? " from " : " to ") + body.origin;
  return {.time = body.began_at,
          .kind = body.cause,
          .id = body.id.text(),
          .text = std::move(text),
          .lsn = body.own_from == Lsn{} ? std::string() : format_lsn(body.own_from)};
}

LogEntryView entry_of(const catalog::SnapshotRecord& snapshot) {
  std::string text = "snapshot " + snapshot.name;
  if (!snapshot.message.empty()) text += ": " + snapshot.message;
  return {.time = snapshot.created_at,
          .kind = "snapshot",
          .id = snapshot.id.text(),
          .text = std::move(text),
          .lsn = format_lsn(snapshot.end)};
}

}  // namespace

std::vector<LogEntryView> branch_history(Engine& engine, const BranchPath& path) {
  const auto [project, branch] = require_branch(engine, path);
  std::vector<LogEntryView> entries;
  for (const auto& body : engine.catalog().incarnations(branch.id)) entries.push_back(entry_of(body));
  for (const auto& snapshot : engine.catalog().snapshots(branch.id)) entries.push_back(entry_of(snapshot));
  std::ranges::stable_sort(entries, std::ranges::greater(), &LogEntryView::time);
  return entries;
}

void cancel_operation(Engine& engine, const std::string& id_or_prefix) {
  const OperationView view = get_operation(engine, id_or_prefix);
  const auto id = OperationId::parse(view.id);
  if (id && engine.operations().cancel(*id)) return;
  throw Error(ErrorCode::conflict,
              fmt::format("operation {} ({} {}) can't be cancelled: it is {}", view.id, view.kind, view.target,
                          view.state == "running" ? "past the point where it could" : "over"));
}

}  // namespace pgtwig::engine
