// Text from elsewhere (names of files, PostgreSQL's words, what a stranger said) made fit for where it goes.
#pragma once

#include <string>
#include <string_view>

namespace pgtwig {

// As it is, but for bytes that are no UTF-8, which become "\xff": JSON takes none.
std::string valid_utf8(std::string_view text);

// The same, with what could end a line or steer a terminal as "\n" and "\x1b", so that it is part of one line and of
// no other.
std::string on_one_line(std::string_view text);

}  // namespace pgtwig
