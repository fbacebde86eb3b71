#include <fmt/format.h>

#include "api/handlers.h"
#include "api/json.h"
#include "api/request_fields.h"
#include "base/error.h"

namespace pgtwig::api {

std::string list_pools(const Call& call) {
  QueryFields(call.request.query).finish();
  return to_json(engine::list_pools(call.engine));
}

std::string create_pool(const Call& call) {
  QueryFields(call.request.query).finish();
  BodyFields fields(call.request.body);
  engine::CreatePool create{.name = parse_pool_name(fields.required_text("name")),
                            .directory = {},
                            .image_size = {},
                            .image = {},
                            .driver = fields.text("driver"),
                            .file_system = fields.text("file_system")};
  if (auto directory = fields.text("directory")) create.directory = *directory;
  if (auto size = fields.bytes("image_size")) create.image_size = Bytes{*size};
  if (auto image = fields.text("image")) create.image = *image;
  fields.finish();
  return to_json(engine::create_pool(call.engine, create, call.listener));
}

std::string get_pool(const Call& call) {
  QueryFields(call.request.query).finish();
  return to_json(engine::get_pool(call.engine, parse_pool_name(call.names[0])));
}

std::string grow_pool(const Call& call) {
  QueryFields(call.request.query).finish();
  BodyFields fields(call.request.body);
  auto size = fields.bytes("size");
  fields.finish();
  if (!size) throw Error(ErrorCode::invalid_argument, "'size' is missing");
  return to_json(engine::grow_pool(call.engine, parse_pool_name(call.names[0]), Bytes{*size}, call.listener));
}

std::string trim_pool(const Call& call) {
  QueryFields(call.request.query).finish();
  BodyFields(call.request.body).finish();
  Bytes trimmed = engine::trim_pool(call.engine, parse_pool_name(call.names[0]), call.listener);
  return fmt::format("{{\"trimmed_bytes\":{}}}", trimmed.count);
}

}  // namespace pgtwig::api
