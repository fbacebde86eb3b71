#include "api/handlers.h"
#include "api/json.h"

namespace pgtwig::api {
std::string list_snapshots(const Call& call) {
  QueryFields query(call.request.query);
  auto project = query.text("project");
  auto branch = query.text("branch");
  query.finish();
  engine::SnapshotFilter filter;
  if (project) filter.project = parse_project_name(*project);
  if (branch) filter.branch = parse_branch_path(*branch);
  return to_json(engine::list_snapshots(call.engine, filter));
}

std::string list_snapshots_of_branch(const Call& call) {
  QueryFields(call.request.query).finish();
  return to_json(engine::list_snapshots(call.engine, {.project = {}, .branch = branch_of(call)}));
}

std::string create_snapshot(const Call& call) {
  QueryFields(call.request.query).finish();
  BodyFields fields(call.request.body);
  engine::CreateSnapshot create{
      .branch = branch_of(call), .name = fields.text("name"), .message = fields.text("message").value_or("")};
  fields.finish();
  return to_json(engine::create_snapshot(call.engine, create, call.listener));
}

std::string get_snapshot(const Call& call) {
  QueryFields(call.request.query).finish();
  return to_json(engine::get_snapshot(call.engine, branch_of(call), call.names[2]));
}

std::string delete_snapshot(const Call& call) {
  QueryFields query(call.request.query);
  engine::DeleteSnapshot request{
      .branch = branch_of(call), .name_or_id = call.names[2], .if_exists = query.flag("if_exists")};
  query.finish();
  BodyFields(call.request.body).finish();
  return deleted_json(engine::delete_snapshot(call.engine, request, call.listener));
}

std::string clean_up_snapshots(const Call& call) {
  QueryFields(call.request.query).finish();
  BodyFields fields(call.request.body);
  auto project = fields.text("project");
  auto branch = fields.text("branch");
  engine::CleanUpSnapshots request{.older_than = take_days(fields), .dry_run = fields.flag("dry_run", false)};
  fields.finish();
  if (project) request.project = parse_project_name(*project);
  if (branch) request.branch = parse_branch_path(*branch);
  engine::SnapshotCleanup cleanup = engine::clean_up_snapshots(call.engine, request, call.listener);
  return to_json(SnapshotCleanupView{
      .deleted = std::move(cleanup.deleted), .kept = std::move(cleanup.kept), .is_dry_run = request.dry_run});
}

std::string get_schedule(const Call& call) {
  QueryFields(call.request.query).finish();
  return to_json(engine::get_schedule(call.engine, branch_of(call)));
}

std::string set_schedule(const Call& call) {
  QueryFields(call.request.query).finish();
  BodyFields fields(call.request.body);
  engine::SetSchedule request{
      .branch = branch_of(call), .every = take_interval(fields, "every"), .keep = fields.text("keep")};
  fields.finish();
  return to_json(engine::set_schedule(call.engine, request));
}

}  // namespace pgtwig::api
