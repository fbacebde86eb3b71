#include "api/json.h"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <concepts>

#include "api/json_fields.h"
#include "base/text.h"
#include "base/time.h"

namespace json = boost::json;

namespace pgtwig::api {
namespace {

template <class View>
concept AnyView = std::is_aggregate_v<View>;

template <AnyView View>
json::value write(const View& view);
template <class Value>
json::value write(const std::optional<Value>& value);
template <class Value>
json::value write(const std::vector<Value>& values);

json::value write(const std::string& text) {
  return json::string(valid_utf8(text));
}
json::value write(std::integral auto number) {
  return number;
}
json::value write(Bytes bytes) {
  return bytes.count;
}
json::value write(TimePoint time) {
  return json::string(format_rfc3339(time));
}
json::value write(const std::map<std::string, std::string>& texts) {
  json::object object;
  for (const auto& [name, text] : texts) object.emplace(valid_utf8(name), write(text));
  return object;
}
template <class Value>
json::value write(const std::optional<Value>& value) {
  return value ? write(*value) : json::value(nullptr);
}
template <class Value>
json::value write(const std::vector<Value>& values) {
  json::array array;
  array.reserve(values.size());
  for (const Value& value : values) array.push_back(write(value));
  return array;
}

struct Writer {
  json::object& object;
  template <class Value>
  void operator()(std::string_view name, const Value& value) {
    object.emplace(name, write(value));
  }
};

template <AnyView View>
json::value write(const View& view) {
  json::object object;
  Writer writer{object};
  describe(writer, view);
  return object;
}

template <class View>
std::string write_list(std::string_view name, const std::vector<View>& views) {
  json::object object;
  object.emplace(name, write(views));
  return json::serialize(object);
}

// Each of these throws boost::system::system_error or Error for a value of another type.
template <AnyView View>
void read_value(const json::value& value, View& view);
template <class Value>
void read_value(const json::value& value, std::optional<Value>& optional);
template <class Value>
void read_value(const json::value& value, std::vector<Value>& values);

void read_value(const json::value& value, std::string& text) {
  text = std::string_view(value.as_string());
}
void read_value(const json::value& value, bool& flag) {
  flag = value.as_bool();
}
void read_value(const json::value& value, std::integral auto& number) {
  number = value.to_number<std::remove_reference_t<decltype(number)>>();
}
void read_value(const json::value& value, Bytes& bytes) {
  bytes.count = value.to_number<std::uint64_t>();
}
void read_value(const json::value& value, TimePoint& time) {
  auto parsed = parse_rfc3339(std::string_view(value.as_string()));
  if (!parsed) throw Error(ErrorCode::internal, parsed.error());
  time = *parsed;
}
void read_value(const json::value& value, std::map<std::string, std::string>& texts) {
  for (const auto& [name, text] : value.as_object()) texts.emplace(name, std::string_view(text.as_string()));
}
template <class Value>
void read_value(const json::value& value, std::optional<Value>& optional) {
  if (!value.is_null()) read_value(value, optional.emplace());
}
template <class Value>
void read_value(const json::value& value, std::vector<Value>& values) {
  for (const json::value& element : value.as_array()) read_value(element, values.emplace_back());
}

struct Reader {
  const json::object& object;
  // A field that is missing (an older daemon's) leaves what the view has by default.
  template <class Value>
  void operator()(std::string_view name, Value& value) {
    if (const json::value* found = object.if_contains(name)) read_value(*found, value);
  }
};

template <AnyView View>
void read_value(const json::value& value, View& view) {
  Reader reader{value.as_object()};
  describe(reader, view);
}

template <class View>
constexpr std::string_view list_name = {};
template <>
constexpr std::string_view list_name<engine::BranchView> = "branches";
template <>
constexpr std::string_view list_name<engine::ProjectView> = "projects";
template <>
constexpr std::string_view list_name<engine::PoolView> = "pools";
template <>
constexpr std::string_view list_name<engine::OperationView> = "operations";
template <>
constexpr std::string_view list_name<engine::SnapshotView> = "snapshots";
template <>
constexpr std::string_view list_name<engine::LogEntryView> = "history";

template <class View>
void read_document(const json::value& document, View& view) {
  read_value(document, view);
}
template <class View>
void read_document(const json::value& document, std::vector<View>& views) {
  read_value(document.as_object().at(list_name<View>), views);
}

// Anything that goes wrong with what a daemon or client sent is one kind of Error.
template <class Read>
auto guarded(std::string_view text, Read read_it) {
  try {
    return read_it(json::parse(text));
  } catch (const std::exception& exception) {
    throw Error(ErrorCode::internal, fmt::format("an answer of the daemon can't be understood: {}", exception.what()),
                "if pgtwig was just upgraded, restart its daemon: pgtwig daemon stop");
  }
}

}  // namespace

std::string to_json(const engine::BranchView& branch) {
  return json::serialize(write(branch));
}
std::string to_json(const engine::ProjectView& project) {
  return json::serialize(write(project));
}
std::string to_json(const engine::PoolView& pool) {
  return json::serialize(write(pool));
}
std::string to_json(const engine::OperationView& operation) {
  return json::serialize(write(operation));
}
std::string to_json(const engine::CredentialsView& credentials) {
  return json::serialize(write(credentials));
}
std::string to_json(const engine::SnapshotView& snapshot) {
  return json::serialize(write(snapshot));
}
std::string to_json(const SnapshotCleanupView& cleanup) {
  return json::serialize(write(cleanup));
}
std::string to_json(const engine::ScheduleView& schedule) {
  return json::serialize(write(schedule));
}
std::string to_json(const engine::WalView& wal) {
  return json::serialize(write(wal));
}
std::string to_json(const engine::WalVerifyView& verification) {
  return json::serialize(write(verification));
}
std::string to_json(const engine::WalCleanupView& cleanup) {
  return json::serialize(write(cleanup));
}
std::string to_json(const engine::StatusView& status) {
  return json::serialize(write(status));
}
std::string to_json(const engine::Event& event) {
  return json::serialize(write(event));
}
std::string to_json(const VersionView& version) {
  return json::serialize(write(version));
}
std::string to_json(const Error& error) {
  return json::serialize(json::object{{"error",
                                       {{"code", error_code_info(error.code()).name},
                                        {"message", write(error.message())},
                                        {"hint", write(error.hint())}}}});
}
std::string to_json(const std::vector<engine::BranchView>& branches) {
  return write_list("branches", branches);
}
std::string to_json(const std::vector<engine::ProjectView>& projects) {
  return write_list("projects", projects);
}
std::string to_json(const std::vector<engine::PoolView>& pools) {
  return write_list("pools", pools);
}
std::string to_json(const std::vector<engine::OperationView>& operations) {
  return write_list("operations", operations);
}
std::string to_json(const std::vector<engine::SnapshotView>& snapshots) {
  return write_list("snapshots", snapshots);
}
std::string to_json(const std::vector<engine::LogEntryView>& history) {
  return write_list("history", history);
}

template <class View>
View from_json(std::string_view text) {
  return guarded(text, [](const json::value& document) {
    View view;
    read_document(document, view);
    return view;
  });
}

template engine::BranchView from_json(std::string_view);
template engine::ProjectView from_json(std::string_view);
template engine::PoolView from_json(std::string_view);
template engine::OperationView from_json(std::string_view);
template engine::CredentialsView from_json(std::string_view);
template engine::SnapshotView from_json(std::string_view);
template SnapshotCleanupView from_json(std::string_view);
template engine::ScheduleView from_json(std::string_view);
template engine::LogEntryView from_json(std::string_view);
template engine::WalView from_json(std::string_view);
template engine::WalVerifyView from_json(std::string_view);
template engine::WalCleanupView from_json(std::string_view);
template engine::StatusView from_json(std::string_view);
template engine::Event from_json(std::string_view);
template VersionView from_json(std::string_view);
template std::vector<engine::BranchView> from_json(std::string_view);
template std::vector<engine::ProjectView> from_json(std::string_view);
template std::vector<engine::PoolView> from_json(std::string_view);
template std::vector<engine::OperationView> from_json(std::string_view);
template std::vector<engine::SnapshotView> from_json(std::string_view);
template std::vector<engine::LogEntryView> from_json(std::string_view);

Error error_from_json(std::string_view text) {
  return guarded(text, [](const json::value& document) {
    const json::object& error = document.as_object().at("error").as_object();
    auto part = [&](std::string_view name) {
      const json::value* value = error.if_contains(name);
      return value && value->is_string() ? std::string(std::string_view(value->get_string())) : std::string();
    };
    return Error(error_code_from_name(part("code")), part("message"), part("hint"));
  });
}

std::string event_line(const engine::Event& event) {
  return fmt::format("{{\"event\":{}}}\n", to_json(event));
}

std::string result_line(const std::string& result_json) {
  return fmt::format("{{\"result\":{}}}\n", result_json);
}

StreamLine parse_stream_line(std::string_view line) {
  return guarded(line, [&](const json::value& document) -> StreamLine {
    const json::object& object = document.as_object();
    if (const json::value* event = object.if_contains("event")) return {LineKind::event, json::serialize(*event)};
    if (const json::value* result = object.if_contains("result")) return {LineKind::result, json::serialize(*result)};
    object.at("error");
    return {LineKind::error, std::string(line)};
  });
}

}  // namespace pgtwig::api
