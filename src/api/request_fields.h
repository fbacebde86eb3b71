// The fields of a request, taken one by one and checked: a name or type that the route does not know is an error, never
// ignored. Used by the handlers.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgtwig::api {

// The JSON object in a request's body. Every accessor throws Error invalid_argument for a value of another type; null
// is as good as absent.
class BodyFields {
 public:
  explicit BodyFields(const std::string& json);  // empty: no fields

  std::optional<std::string> text(std::string_view name);
  std::string required_text(std::string_view name);
  bool flag(std::string_view name, bool otherwise);
  std::optional<std::int64_t> number(std::string_view name, std::int64_t smallest, std::int64_t largest);
  std::vector<std::string> texts(std::string_view name);
  // {"work_mem": "64MB", "max_connections": 50}: numbers and truth values are taken as PostgreSQL writes them.
  std::map<std::string, std::string> settings(std::string_view name);
  // A number, or the text of one with a unit: 1024, "60G".
  std::optional<std::uint64_t> bytes(std::string_view name);

  // After the last accessor: throws Error invalid_argument for a field that none of them asked for.
  void finish() const;

 private:
  const boost::json::value* find(std::string_view name);

  boost::json::object object_;
  std::vector<std::string> known_;
};

// The same for what stands behind the '?'.
class QueryFields {
 public:
  explicit QueryFields(const std::map<std::string, std::string>& query) : query_(query) {}

  std::optional<std::string> text(std::string_view name);
  bool flag(std::string_view name);  // "?force", "?force=true"
  std::optional<std::int64_t> number(std::string_view name, std::int64_t smallest, std::int64_t largest);
  void finish() const;

 private:
  const std::map<std::string, std::string>& query_;
  std::vector<std::string> known_{"async"};  // every change takes it
};

}  // namespace pgtwig::api
