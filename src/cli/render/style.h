// Colours, and text measured in the columns that a terminal gives it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/console.h"

namespace pgtwig::cli {

enum class Paint { bold, dim, red, green, yellow };

// `text` in colour where the terminal has it.
std::string paint(const Terminal& terminal, Paint paint, std::string_view text);

// Columns, not bytes: wide characters count two, combining ones none. Bytes that are no UTF-8 count one each.
std::size_t display_width(std::string_view text);
// At most `width` columns; what is cut off is shown by an ellipsis.
std::string cut_to_width(const Terminal& terminal, std::string_view text, std::size_t width);
std::string pad_right(std::string_view text, std::size_t width);
std::string pad_left(std::string_view text, std::size_t width);
// Control characters (a name can hold none, an error message from elsewhere can) as visible text.
std::string without_control_characters(std::string_view text);
// Lines of at most `width` columns, broken at blanks.
std::vector<std::string> wrap_words(std::string_view text, std::size_t width);

}  // namespace pgtwig::cli
