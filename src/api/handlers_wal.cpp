#include "api/handlers.h"
#include "api/json.h"

namespace pgtwig::api {
namespace {

std::optional<BranchPath> take_branch(BodyFields& fields) {
  auto text = fields.text("branch");
  if (!text) return std::nullopt;
  return parse_branch_path(*text);
}

}  // namespace

std::string get_wal(const Call& call) {
  QueryFields(call.request.query).finish();
  return to_json(engine::wal_info(call.engine, branch_of(call)));
}

std::string verify_wal(const Call& call) {
  QueryFields(call.request.query).finish();
  BodyFields fields(call.request.body);
  auto branch = take_branch(fields);
  fields.finish();
  return to_json(engine::verify_wal(call.engine, branch));
}

std::string clean_up_wal(const Call& call) {
  QueryFields(call.request.query).finish();
  BodyFields fields(call.request.body);
  engine::CleanUpWal request{
      .branch = take_branch(fields), .older_than = take_days(fields), .dry_run = fields.flag("dry_run", false)};
  fields.finish();
  return to_json(engine::clean_up_wal(call.engine, request));
}

}  // namespace pgtwig::api
