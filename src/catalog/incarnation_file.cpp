#include "catalog/incarnation_file.h"

#include <boost/json.hpp>

#include "catalog/json_members.h"

namespace pgtwig::catalog {
namespace {

namespace json = boost::json;

constexpr int format = 1;

json::value text_or_null(const std::optional<IncarnationId>& id) {
  return id ? json::value(id->text()) : json::value(nullptr);
}

template <class Id>
Id id_member(const json::object& object, std::string_view name) {
  const auto id = Id::parse(text_member(object, name));
  if (!id) throw Malformed(std::string(name) + " is no id");
  return *id;
}

std::optional<IncarnationId> optional_id(const json::object& object, std::string_view name) {
  if (!text_or_null_member(object, name)) return std::nullopt;
  return id_member<IncarnationId>(object, name);
}

TimePoint time_member(const json::object& object, std::string_view name) {
  const auto time = parse_rfc3339(text_member(object, name));
  if (!time) throw Malformed(std::string(name) + " is malformed: " + time.error());
  return *time;
}

Lsn lsn_member(const json::object& object, std::string_view name) {
  const auto lsn = parse_lsn(text_member(object, name));
  if (!lsn) throw Malformed(std::string(name) + " is malformed: " + lsn.error());
  return *lsn;
}

IncarnationRecord parse_object(const json::object& object) {
  const std::int64_t found = number_member(object, "format");
  if (found > format) throw Malformed("it was written by a newer pgtwig");
  IncarnationRecord record{.id = id_member<IncarnationId>(object, "id"),
                           .project = id_member<ProjectId>(object, "project"),
                           .branch = id_member<BranchId>(object, "branch"),
                           .cause = text_member(object, "cause"),
                           .source = optional_id(object, "source"),
                           .origin = text_member(object, "origin"),
                           .source_time = time_member(object, "source_time"),
                           .own_from = lsn_member(object, "own_from"),
                           .timeline = static_cast<std::uint32_t>(number_member(object, "timeline")),
                           .began_at = time_member(object, "began_at"),
                           .ended_at = std::nullopt,
                           .snapshot = optional_id(object, "snapshot")};
  if (record.timeline == 0) throw Malformed("timeline is zero");
  if (text_or_null_member(object, "ended_at")) record.ended_at = time_member(object, "ended_at");
  return record;
}

}  // namespace

std::string write_incarnation(const IncarnationRecord& incarnation) {
  const json::object object{
      {"format", format},
      {"id", incarnation.id.text()},
      {"project", incarnation.project.text()},
      {"branch", incarnation.branch.text()},
      {"cause", incarnation.cause},
      {"source", text_or_null(incarnation.source)},
      {"origin", incarnation.origin},
      {"source_time", format_rfc3339(incarnation.source_time)},
      {"own_from", format_lsn(incarnation.own_from)},
      {"timeline", incarnation.timeline},
      {"began_at", format_rfc3339(incarnation.began_at)},
      {"ended_at", incarnation.ended_at ? json::value(format_rfc3339(*incarnation.ended_at)) : json::value(nullptr)},
      {"snapshot", text_or_null(incarnation.snapshot)}};
  return json::serialize(object) + "\n";
}

std::expected<IncarnationRecord, std::string> parse_incarnation(std::string_view text) {
  boost::system::error_code error;
  const json::value value = json::parse(text, error);
  if (error || !value.is_object()) return std::unexpected("it is not a JSON object");
  try {
    return parse_object(value.get_object());
  } catch (const Malformed& malformed) {
    return std::unexpected(malformed.what());
  }
}

}  // namespace pgtwig::catalog
