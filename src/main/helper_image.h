// The program of src/helper/, as the bytes of its file.
#pragma once

#include <string_view>

namespace pgtwig {

std::string_view helper_image();

}  // namespace pgtwig
