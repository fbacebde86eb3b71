// incarnation.json: the record of a branch body, in its WAL archive, so that the histories that a lost catalog knew can
// be found again. It belongs to the daemon, 0600.
#pragma once

#include <expected>
#include <string>
#include <string_view>

#include "catalog/catalog.h"

namespace pgtwig::catalog {

inline constexpr const char* incarnation_file_name = "incarnation.json";

std::string write_incarnation(const IncarnationRecord& incarnation);
// The error is a sentence: not JSON, a field missing or malformed, written by a newer pgtwig.
std::expected<IncarnationRecord, std::string> parse_incarnation(std::string_view text);

}  // namespace pgtwig::catalog
