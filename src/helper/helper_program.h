// The helper that PostgreSQL runs (main.cpp), as pgtwig carries it.
#pragma once

#include <string_view>

namespace pgtwig {

// The bytes of its executable file.
std::string_view helper_program();

}  // namespace pgtwig
