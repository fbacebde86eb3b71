#include "tests/support/places.h"

namespace pgtwig::support {

std::filesystem::path source_directory() {
  return PGTWIG_SOURCE_DIR;
}

std::filesystem::path build_directory() {
  return PGTWIG_BUILD_DIR;
}

}  // namespace pgtwig::support
