#include "cli/request.h"

#include <boost/json.hpp>

#include "cli/cancellation.h"
#include "cli/render/progress.h"
#include "cli/render/style.h"

namespace pgtwig::cli {

namespace json = boost::json;

std::vector<std::string> texts_of(const json::value& result, std::string_view key) {
  std::vector<std::string> texts;
  const json::object* object = result.if_object();
  const json::value* list = object == nullptr ? nullptr : object->if_contains(key);
  if (list == nullptr || !list->is_array()) return texts;
  for (const auto& element : list->get_array())
    if (const auto* text = element.if_string()) texts.emplace_back(text->data(), text->size());
  return texts;
}

std::vector<std::string> warnings_of(const std::string& result) {
  boost::system::error_code error;
  return texts_of(json::parse(result, error), "warnings");  // null after an error
}

RequestBody& RequestBody::append(const std::string& key, const std::string& value) {
  if (!members_.empty()) members_ += ",";
  members_ += json::serialize(json::string_view(key)) + ":" + value;
  return *this;
}

RequestBody& RequestBody::set(const std::string& key, const std::string& value) {
  return append(key, json::serialize(json::string_view(value)));
}

RequestBody& RequestBody::set(const std::string& key, std::int64_t value) {
  return append(key, std::to_string(value));
}

RequestBody& RequestBody::set(const std::string& key, bool value) {
  return append(key, value ? "true" : "false");
}

RequestBody& RequestBody::set(const std::string& key, const std::map<std::string, std::string>& value) {
  RequestBody object;
  for (const auto& [name, text] : value) object.set(name, text);
  return append(key, object.text());
}

RequestBody& RequestBody::set(const std::string& key, const std::vector<std::string>& value) {
  json::array array;
  for (const auto& text : value) array.emplace_back(text);
  return append(key, json::serialize(array));
}

std::string perform(Session& session, const Change& change) {
  std::string result;
  Progress progress(session.console(), change.heading, !session.shows_words());
  const bool is_upload = change.upload_fd >= 0;
  Cancellation cancellation(session, progress, !is_upload);
  auto on_event = [&](const engine::Event& event) {
    progress.on_event(event);
    cancellation.on_event(event);
  };
  auto watch = session.world().watch_interrupts([&](int count) { return cancellation.on_interrupt(count); });
  if (is_upload)
    result = session.api().upload_with_events(change.target, change.body, change.upload_fd, on_event);
  else
    result = session.api().request_with_events(change.method, change.target, change.body, on_event);
  for (const auto& warning : warnings_of(result))
    if (!progress.has_shown(warning)) session.warn(without_control_characters(warning));
  return result;
}

void add_limits(const Session& session, RequestBody& body) {
  if (auto cpus = session.invocation().find("cpus")) body.set("cpus", *cpus);
  if (auto memory = session.invocation().find("memory")) body.set("memory", *memory);
}

std::map<std::string, std::string> settings_option(const Session& session) {
  std::map<std::string, std::string> settings;
  for (const auto& text : session.invocation().all("set")) {
    auto equals = text.find('=');
    settings[text.substr(0, equals)] = text.substr(equals + 1);
  }
  return settings;
}

}  // namespace pgtwig::cli
