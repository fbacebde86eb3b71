// The folders of this checkout. They differ from one to the next, so of all the tests' files only this one is compiled
// with their names.
#pragma once

#include <filesystem>

namespace pgtwig::support {

std::filesystem::path source_directory();
std::filesystem::path build_directory();

}  // namespace pgtwig::support
