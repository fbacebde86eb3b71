#include "api/request_fields.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <charconv>

#include "base/bytes.h"
#include "base/error.h"
#include "base/names.h"

namespace json = boost::json;

namespace pgtwig::api {
namespace {

Error wrong_type(std::string_view name, std::string_view expected) {
  return Error(ErrorCode::invalid_argument, fmt::format("'{}' must be {}", name, expected));
}

Error unknown(std::string_view kind, std::string_view name, const std::vector<std::string>& known) {
  std::vector<std::string> nearest = nearest_names(name, known);
  std::string hint;
  if (!nearest.empty()) {
    hint = fmt::format("did you mean {}?", fmt::join(nearest, " or "));
  } else if (known.empty()) {
    hint = "this request takes none";
  } else {
    hint = fmt::format("this request takes {}", fmt::join(known, ", "));
  }
  return Error(ErrorCode::invalid_argument, fmt::format("unknown {} '{}'", kind, name), hint);
}

std::string range_text(std::int64_t smallest, std::int64_t largest) {
  return fmt::format("a whole number from {} to {}", smallest, largest);
}

}  // namespace

BodyFields::BodyFields(const std::string& text) {
  if (text.empty()) return;
  boost::system::error_code error;
  json::value value = json::parse(text, error);
  if (error) {
    throw Error(ErrorCode::invalid_argument, "the body of the request is not JSON: " + error.message());
  }
  if (!value.is_object()) throw Error(ErrorCode::invalid_argument, "the body of the request is not a JSON object");
  object_ = std::move(value.get_object());
}

const json::value* BodyFields::find(std::string_view name) {
  known_.emplace_back(name);
  const json::value* value = object_.if_contains(name);
  return value && !value->is_null() ? value : nullptr;
}

std::optional<std::string> BodyFields::text(std::string_view name) {
  const json::value* value = find(name);
  if (!value) return std::nullopt;
  if (!value->is_string()) throw wrong_type(name, "a text");
  return std::string(std::string_view(value->get_string()));
}

std::string BodyFields::required_text(std::string_view name) {
  auto value = text(name);
  if (!value) throw Error(ErrorCode::invalid_argument, fmt::format("'{}' is missing", name));
  return *value;
}

bool BodyFields::flag(std::string_view name, bool otherwise) {
  const json::value* value = find(name);
  if (!value) return otherwise;
  if (!value->is_bool()) throw wrong_type(name, "true or false");
  return value->get_bool();
}

std::optional<std::int64_t> BodyFields::number(std::string_view name, std::int64_t smallest, std::int64_t largest) {
  const json::value* value = find(name);
  if (!value) return std::nullopt;
  boost::system::error_code error;
  auto number = value->to_number<std::int64_t>(error);
  if (error || number < smallest || number > largest) throw wrong_type(name, range_text(smallest, largest));
  return number;
}

std::vector<std::string> BodyFields::texts(std::string_view name) {
  const json::value* value = find(name);
  if (!value) return {};
  if (!value->is_array()) throw wrong_type(name, "a list of texts");
  std::vector<std::string> texts;
  for (const json::value& element : value->get_array()) {
    if (!element.is_string()) throw wrong_type(name, "a list of texts");
    texts.emplace_back(std::string_view(element.get_string()));
  }
  return texts;
}

std::map<std::string, std::string> BodyFields::settings(std::string_view name) {
  const json::value* value = find(name);
  if (!value) return {};
  constexpr std::string_view expected = "an object of settings: {\"work_mem\": \"64MB\"}";
  if (!value->is_object()) throw wrong_type(name, expected);
  std::map<std::string, std::string> settings;
  for (const auto& [key, setting] : value->get_object()) {
    std::string& text = settings[std::string(std::string_view(key))];
    if (setting.is_string()) {
      text = std::string_view(setting.get_string());
    } else if (setting.is_bool()) {
      text = setting.get_bool() ? "on" : "off";
    } else if (setting.is_number()) {
      text = json::serialize(setting);
    } else {
      throw wrong_type(name, expected);
    }
  }
  return settings;
}

std::optional<std::uint64_t> BodyFields::bytes(std::string_view name) {
  const json::value* value = find(name);
  if (!value) return std::nullopt;
  if (value->is_string()) {
    auto bytes = parse_bytes(std::string_view(value->get_string()));
    if (!bytes) throw Error(ErrorCode::invalid_argument, fmt::format("'{}': {}", name, bytes.error()));
    return bytes->count;
  }
  boost::system::error_code error;
  auto count = value->to_number<std::uint64_t>(error);
  if (error) throw wrong_type(name, "a number of bytes, or a text such as \"60G\"");
  return count;
}

void BodyFields::finish() const {
  for (const auto& [name, value] : object_) {
    if (std::find(known_.begin(), known_.end(), std::string_view(name)) == known_.end()) {
      throw unknown("field", name, known_);
    }
  }
}

std::optional<std::string> QueryFields::text(std::string_view name) {
  known_.emplace_back(name);
  auto found = query_.find(std::string(name));
  if (found == query_.end()) return std::nullopt;
  return found->second;
}

bool QueryFields::flag(std::string_view name) {
  auto value = text(name);
  if (!value || value == "false" || value == "0") return false;
  if (value->empty() || value == "true" || value == "1") return true;
  throw wrong_type(name, "true or false");
}

std::optional<std::int64_t> QueryFields::number(std::string_view name, std::int64_t smallest, std::int64_t largest) {
  auto value = text(name);
  if (!value) return std::nullopt;
  std::int64_t number = 0;
  auto [end, error] = std::from_chars(value->data(), value->data() + value->size(), number);
  if (error != std::errc() || end != value->data() + value->size() || number < smallest || number > largest) {
    throw wrong_type(name, range_text(smallest, largest));
  }
  return number;
}

void QueryFields::finish() const {
  for (const auto& [name, value] : query_) {
    if (std::find(known_.begin(), known_.end(), name) == known_.end()) throw unknown("query parameter", name, known_);
  }
}

}  // namespace pgtwig::api
