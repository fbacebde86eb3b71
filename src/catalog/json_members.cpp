#include "catalog/json_members.h"

#include <boost/json.hpp>

#include "base/text.h"

namespace pgtwig::catalog {

namespace json = boost::json;

json::array texts_to_json(const std::vector<std::string>& texts) {
  json::array array;
  for (const std::string& text : texts) array.emplace_back(valid_utf8(text));
  return array;
}

const json::value& member(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  if (value == nullptr) throw Malformed("it has no " + std::string(name));
  return *value;
}

std::string text_member(const json::object& object, std::string_view name) {
  const json::value& value = member(object, name);
  if (!value.is_string()) throw Malformed(std::string(name) + " is not text");
  return json::value_to<std::string>(value);
}

const json::object& object_member(const json::object& object, std::string_view name) {
  const json::value& value = member(object, name);
  if (!value.is_object()) throw Malformed(std::string(name) + " is not an object");
  return value.get_object();
}

std::int64_t number_member(const json::object& object, std::string_view name) {
  const json::value& value = member(object, name);
  if (!value.is_int64()) throw Malformed(std::string(name) + " is not a whole number");
  return value.get_int64();
}

bool flag_member(const json::object& object, std::string_view name) {
  const json::value& value = member(object, name);
  if (!value.is_bool()) throw Malformed(std::string(name) + " is not true or false");
  return value.get_bool();
}

std::optional<std::string> text_or_null_member(const json::object& object, std::string_view name) {
  if (member(object, name).is_null()) return std::nullopt;
  return text_member(object, name);
}

bool optional_flag(const json::object& object, std::string_view name) {
  return object.contains(name) && flag_member(object, name);
}

std::optional<std::chrono::seconds> optional_seconds(const json::object& object, std::string_view name) {
  if (!object.contains(name) || member(object, name).is_null()) return std::nullopt;
  const std::int64_t seconds = number_member(object, name);
  if (seconds < 0) throw Malformed(std::string(name) + " is out of range");
  return std::chrono::seconds(seconds);
}

}  // namespace pgtwig::catalog
