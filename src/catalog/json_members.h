// JSON in files and columns: what goes into it, and the members of an object that somebody else, or an older pgtwig,
// wrote.
#pragma once

#include <boost/json/fwd.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace pgtwig::catalog {

// What is wrong with a file's content: the end of a sentence that its reader begins.
struct Malformed : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// For a file as for a column: some of the texts come from where anything can be written.
boost::json::array texts_to_json(const std::vector<std::string>& texts);

// Each throws Malformed when there is no such member or it is of another type.
const boost::json::value& member(const boost::json::object& object, std::string_view name);
std::string text_member(const boost::json::object& object, std::string_view name);
const boost::json::object& object_member(const boost::json::object& object, std::string_view name);
std::int64_t number_member(const boost::json::object& object, std::string_view name);
bool flag_member(const boost::json::object& object, std::string_view name);

// Has to be there; nullopt: null.
std::optional<std::string> text_or_null_member(const boost::json::object& object, std::string_view name);

// Absent where an older pgtwig wrote it; then false, or nullopt, as for null.
bool optional_flag(const boost::json::object& object, std::string_view name);
std::optional<std::chrono::seconds> optional_seconds(const boost::json::object& object, std::string_view name);

}  // namespace pgtwig::catalog
