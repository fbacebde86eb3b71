#include "api/handlers.h"

#include <fmt/format.h>
#include <unistd.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "api/json.h"
#include "api/request_fields.h"
#include "base/error.h"
#include "base/time.h"
#include "engine/engine.h"

namespace pgtwig::api {
namespace {

constexpr int default_operations = 50;
constexpr int most_operations = 10'000;
constexpr int most_days = 36'500;

std::string endpoint_json(const std::optional<BranchPath>& branch) {
  return boost::json::serialize(
      boost::json::object{{"branch", branch ? boost::json::value(branch->text()) : boost::json::value(nullptr)}});
}

}  // namespace

std::string deleted_json(const std::vector<std::string>& names) {
  return boost::json::serialize(boost::json::object{{"deleted", boost::json::array(names.begin(), names.end())}});
}

ProjectName parse_project_name(const std::string& text) {
  auto name = ProjectName::parse(text);
  if (!name) throw Error(ErrorCode::invalid_argument, name.error());
  return *name;
}

PoolName parse_pool_name(const std::string& text) {
  return parse_project_name(text);
}

BranchName parse_branch_name(const std::string& text) {
  auto name = BranchName::parse(text);
  if (!name) throw Error(ErrorCode::invalid_argument, fmt::format("'{}': {}", text, name.error()));
  return *name;
}

BranchPath parse_branch_path(const std::string& text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string::npos) {
    throw Error(ErrorCode::invalid_argument, fmt::format("'{}' names no project before the branch", text),
                fmt::format("write it like demo/{}", text));
  }
  return {parse_project_name(text.substr(0, slash)), parse_branch_name(text.substr(slash + 1))};
}

std::chrono::hours take_days(BodyFields& fields) {
  auto days = fields.number("days", 0, most_days);
  if (!days) throw Error(ErrorCode::invalid_argument, "'days' is missing");
  return std::chrono::days(*days);
}

std::optional<std::chrono::seconds> take_interval(BodyFields& fields, std::string_view name) {
  auto text = fields.text(name);
  if (!text) return std::nullopt;
  if (*text == "off") return std::chrono::seconds(0);
  auto duration = parse_duration(*text);
  if (!duration) throw Error(ErrorCode::invalid_argument, duration.error(), "for example: 1h, 30m, or off");
  return *duration;
}

BranchPath branch_of(const Call& call) {
  return {parse_project_name(call.names[0]), parse_branch_name(call.names[1])};
}

std::string get_version(const Call& call) {
  QueryFields(call.request.query).finish();
  return to_json(VersionView{.version = PGTWIG_VERSION,
                             .pid = ::getpid(),
                             .root = call.engine.paths().state.string(),
                             .started_at = call.engine.opened_at()});
}

std::string get_status(const Call& call) {
  QueryFields(call.request.query).finish();
  return to_json(engine::get_status(call.engine));
}

std::string get_metrics(const Call& call) {
  QueryFields(call.request.query).finish();
  return engine::metrics_text(call.engine);
}

std::string list_operations(const Call& call) {
  QueryFields query(call.request.query);
  auto limit = query.number("limit", 1, most_operations);
  query.finish();
  return to_json(engine::list_operations(call.engine, static_cast<int>(limit.value_or(default_operations))));
}

std::string get_operation(const Call& call) {
  QueryFields(call.request.query).finish();
  return to_json(engine::get_operation(call.engine, call.names[0]));
}

std::string cancel_operation(const Call& call) {
  QueryFields(call.request.query).finish();
  BodyFields(call.request.body).finish();
  engine::cancel_operation(call.engine, call.names[0]);
  return "{}";
}

std::string get_endpoint(const Call& call) {
  QueryFields(call.request.query).finish();
  return endpoint_json(engine::selected_branch(call.engine));
}

std::string set_endpoint(const Call& call) {
  QueryFields(call.request.query).finish();
  BodyFields fields(call.request.body);
  auto text = fields.text("branch");
  fields.finish();
  std::optional<BranchPath> branch;
  if (text) branch = parse_branch_path(*text);
  engine::select_branch(call.engine, branch);
  return endpoint_json(branch);
}

}  // namespace pgtwig::api
