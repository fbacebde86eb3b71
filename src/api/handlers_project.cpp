#include "api/handlers.h"
#include "api/json.h"
#include "api/request_fields.h"
#include "base/error.h"

namespace pgtwig::api {
namespace {

// What is fetched comes from outside, by the name and with the credentials of who runs the daemon.
bool take_pull(const Call& call, BodyFields& fields) {
  const bool pull = fields.flag("pull", false);
  if (pull && !call.request.peer.is_administrator()) {
    throw Error(ErrorCode::not_allowed, "only the administrator may fetch images for this daemon",
                "ask for the image to be pulled, then leave --pull out; or repeat it with sudo");
  }
  return pull;
}

}  // namespace

std::string list_projects(const Call& call) {
  QueryFields(call.request.query).finish();
  return to_json(engine::list_projects(call.engine));
}

std::string create_project(const Call& call) {
  QueryFields(call.request.query).finish();
  // With a dump, the body is the dump and its description a header.
  BodyFields fields(call.request.upload ? call.request.described_by : call.request.body);
  engine::CreateProject create{.name = parse_project_name(fields.required_text("name")),
                               .pg_major = {},
                               .pool = {},
                               .runtime = fields.text("runtime"),
                               .image = fields.text("image"),
                               .pull = take_pull(call, fields),
                               .limits = take_limits(fields),
                               .port = {},
                               .settings = fields.settings("settings"),
                               .suspend_after = take_interval(fields, "suspend_after"),
                               .files = fields.settings("files"),
                               .dump_fd = call.request.upload.get()};
  if (auto version = fields.number("pg_version", 1, 999)) create.pg_major = static_cast<int>(*version);
  if (auto pool = fields.text("pool")) create.pool = parse_pool_name(*pool);
  if (auto port = fields.number("port", 1, 65535)) create.port = static_cast<std::uint16_t>(*port);
  if (auto locale = fields.text("locale")) create.locale = *locale;
  fields.finish();
  return to_json(engine::create_project(call.engine, create, call.listener));
}

std::string get_project(const Call& call) {
  QueryFields(call.request.query).finish();
  return to_json(engine::get_project(call.engine, parse_project_name(call.names[0])));
}

std::string rename_project(const Call& call) {
  QueryFields(call.request.query).finish();
  BodyFields fields(call.request.body);
  ProjectName name = parse_project_name(fields.required_text("name"));
  fields.finish();
  return to_json(engine::rename_project(call.engine, parse_project_name(call.names[0]), name, call.listener));
}

std::string change_runtime(const Call& call) {
  QueryFields(call.request.query).finish();
  BodyFields fields(call.request.body);
  const engine::ChangeRuntime change{.name = parse_project_name(call.names[0]),
                                     .runtime = fields.required_text("runtime"),
                                     .image = fields.text("image"),
                                     .pull = take_pull(call, fields),
                                     .accept_collation_change = fields.flag("accept_collation_change", false)};
  fields.finish();
  return to_json(engine::change_runtime(call.engine, change, call.listener));
}

std::string change_files(const Call& call) {
  QueryFields(call.request.query).finish();
  BodyFields fields(call.request.body);
  const auto changes = fields.settings("files");
  fields.finish();
  return to_json(engine::change_files(call.engine, parse_project_name(call.names[0]), changes, call.listener));
}

std::string delete_project(const Call& call) {
  QueryFields query(call.request.query);
  engine::DeleteProject request{
      .name = parse_project_name(call.names[0]), .force = query.flag("force"), .if_exists = query.flag("if_exists")};
  query.finish();
  BodyFields(call.request.body).finish();
  return deleted_json(engine::delete_project(call.engine, request, call.listener));
}

std::string set_suspend_after_of_project(const Call& call) {
  QueryFields(call.request.query).finish();
  BodyFields fields(call.request.body);
  auto after = take_interval(fields, "after");
  fields.finish();
  return to_json(engine::set_suspend_after(call.engine, parse_project_name(call.names[0]), after));
}

}  // namespace pgtwig::api
