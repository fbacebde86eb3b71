#include <fmt/format.h>

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "api/handlers.h"
#include "api/json.h"
#include "api/request_fields.h"
#include "base/error.h"
#include "base/text.h"
#include "base/time.h"

namespace pgtwig::api {
namespace {

constexpr int default_log_lines = 100;
constexpr int most_log_lines = 100'000;

std::optional<BranchReference> take_from(BodyFields& fields) {
  auto text = fields.text("from");
  if (!text) return std::nullopt;
  auto reference = parse_branch_reference(*text);
  if (!reference) throw Error(ErrorCode::invalid_argument, reference.error());
  return *reference;
}

std::optional<Point> take_at(BodyFields& fields) {
  auto text = fields.text("at");
  if (!text) return std::nullopt;
  auto point = parse_point(*text);
  if (!point) throw Error(ErrorCode::invalid_argument, point.error());
  return *point;
}

postgres::Consistency take_consistency(BodyFields& fields) {
  auto text = fields.text("consistency");
  if (!text) return postgres::Consistency::automatic;
  auto consistency = postgres::parse_consistency(*text);
  if (!consistency) {
    throw Error(ErrorCode::invalid_argument, fmt::format("'{}' is not a way to be consistent", *text),
                "use auto, checkpoint, fast or backup");
  }
  return *consistency;
}

catalog::Durability take_durability(BodyFields& fields) {
  auto text = fields.text("durability");
  if (!text) return catalog::Durability::full;
  auto durability = catalog::parse_durability(*text);
  if (!durability) {
    throw Error(ErrorCode::invalid_argument, fmt::format("'{}' is not a durability", *text),
                "use full, relaxed or none");
  }
  return *durability;
}

std::optional<std::chrono::seconds> take_time_to_live(BodyFields& fields) {
  auto text = fields.text("ttl");
  if (!text) return std::nullopt;
  auto duration = parse_duration(*text);
  if (!duration) throw Error(ErrorCode::invalid_argument, duration.error());
  return *duration;
}

std::optional<std::uint16_t> take_port(BodyFields& fields) {
  auto number = fields.number("port", 1, 65535);
  if (!number) return std::nullopt;
  return static_cast<std::uint16_t>(*number);
}

engine::StartBranch take_start(const Call& call) {
  QueryFields(call.request.query).finish();
  BodyFields fields(call.request.body);
  engine::StartBranch start{.path = branch_of(call),
                            .port = take_port(fields),
                            .allow = fields.texts("allow"),
                            .settings = fields.settings("settings"),
                            .limits = take_limits(fields)};
  fields.finish();
  return start;
}

}  // namespace

engine::LimitsChoice take_limits(BodyFields& fields) {
  return {.cpus = fields.text("cpus"), .memory = fields.text("memory")};
}

std::string list_branches(const Call& call) {
  QueryFields query(call.request.query);
  auto project = query.text("project");
  query.finish();
  std::optional<ProjectName> name;
  if (project) name = parse_project_name(*project);
  return to_json(engine::list_branches(call.engine, name));
}

std::string create_branch(const Call& call) {
  QueryFields(call.request.query).finish();
  BodyFields fields(call.request.body);
  engine::CreateBranch create{
      .path = {parse_project_name(call.names[0]), parse_branch_name(fields.required_text("name"))},
      .from = take_from(fields),
      .at = take_at(fields),
      .consistency = take_consistency(fields),
      .port = take_port(fields),
      .durability = take_durability(fields),
      .time_to_live = take_time_to_live(fields),
      .start = fields.flag("start", true),
      .if_not_exists = fields.flag("if_not_exists", false),
      .settings = fields.settings("settings"),
      .suspend_after = take_interval(fields, "suspend_after"),
      .limits = take_limits(fields)};
  fields.finish();
  return to_json(engine::create_branch(call.engine, create, call.listener));
}

std::string get_branch(const Call& call) {
  QueryFields(call.request.query).finish();
  return to_json(engine::get_branch(call.engine, branch_of(call)));
}

std::string rename_branch(const Call& call) {
  QueryFields(call.request.query).finish();
  BodyFields fields(call.request.body);
  BranchName name = parse_branch_name(fields.required_text("name"));
  fields.finish();
  return to_json(engine::rename_branch(call.engine, branch_of(call), name, call.listener));
}

std::string delete_branch(const Call& call) {
  QueryFields query(call.request.query);
  engine::DeleteBranch request{
      .path = branch_of(call), .cascade = query.flag("cascade"), .if_exists = query.flag("if_exists")};
  query.finish();
  BodyFields(call.request.body).finish();
  return deleted_json(engine::delete_branch(call.engine, request, call.listener));
}

std::string reset_branch(const Call& call) {
  QueryFields(call.request.query).finish();
  BodyFields fields(call.request.body);
  engine::ResetBranch reset{.path = branch_of(call),
                            .from = take_from(fields),
                            .at = take_at(fields),
                            .consistency = take_consistency(fields)};
  fields.finish();
  return to_json(engine::reset_branch(call.engine, reset, call.listener));
}

std::string restore_branch(const Call& call) {
  QueryFields(call.request.query).finish();
  BodyFields fields(call.request.body);
  auto at = take_at(fields);
  fields.finish();
  if (!at) throw Error(ErrorCode::invalid_argument, "'at' is missing", "say to which moment: {\"at\": \"10m\"}");
  return to_json(engine::restore_branch(call.engine, {.path = branch_of(call), .at = *std::move(at)}, call.listener));
}

std::string get_history(const Call& call) {
  QueryFields(call.request.query).finish();
  return to_json(engine::branch_history(call.engine, branch_of(call)));
}

std::string start_branch(const Call& call) {
  return to_json(engine::start_branch(call.engine, take_start(call), call.listener));
}

std::string restart_branch(const Call& call) {
  return to_json(engine::restart_branch(call.engine, take_start(call), call.listener));
}

std::string stop_branch(const Call& call) {
  QueryFields(call.request.query).finish();
  BodyFields(call.request.body).finish();
  return to_json(engine::stop_branch(call.engine, branch_of(call), call.listener));
}

std::string wake_branch(const Call& call) {
  QueryFields(call.request.query).finish();
  BodyFields(call.request.body).finish();
  const BranchPath branch = branch_of(call);
  engine::wake_branch(call.engine, branch);
  return to_json(
      engine::start_branch(call.engine, {.path = branch}, call.listener));  // which runs, so this only shows it
}

std::string suspend_branch(const Call& call) {
  QueryFields(call.request.query).finish();
  BodyFields(call.request.body).finish();
  return to_json(engine::suspend_branch(call.engine, branch_of(call), call.listener));
}

std::string set_suspend_after_of_branch(const Call& call) {
  QueryFields(call.request.query).finish();
  BodyFields fields(call.request.body);
  auto after = take_interval(fields, "after");
  fields.finish();
  return to_json(engine::set_suspend_after(call.engine, branch_of(call), after));
}

std::string get_credentials(const Call& call) {
  QueryFields(call.request.query).finish();
  return to_json(engine::branch_credentials(call.engine, branch_of(call)));
}

std::string reset_password(const Call& call) {
  QueryFields(call.request.query).finish();
  BodyFields fields(call.request.body);
  auto password = fields.text("password");
  fields.finish();
  return to_json(engine::reset_branch_password(call.engine, branch_of(call), password, call.listener));
}

std::string get_log(const Call& call) {
  QueryFields query(call.request.query);
  auto lines = query.number("lines", 1, most_log_lines);
  query.finish();
  std::string log =
      engine::branch_log(call.engine, branch_of(call), static_cast<int>(lines.value_or(default_log_lines)));
  return boost::json::serialize(boost::json::object{{"log", valid_utf8(log)}});
}

}  // namespace pgtwig::api
