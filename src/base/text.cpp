#include "base/text.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <iterator>

namespace pgtwig {
namespace {

// C0, DEL and C1: what terminals take for commands.
bool is_control(utf8proc_int32_t code_point) {
  return code_point < 0x20 || (code_point >= 0x7f && code_point < 0xa0);
}

std::string with_escapes(std::string_view text, bool escape_controls) {
  std::string fit;
  fit.reserve(text.size());
  while (!text.empty()) {
    utf8proc_int32_t code_point = 0;
    const auto length = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                         static_cast<utf8proc_ssize_t>(text.size()), &code_point);
    const std::string_view character = text.substr(0, length > 0 ? static_cast<std::size_t>(length) : 1);
    text.remove_prefix(character.size());
    if (length > 0 && !(escape_controls && is_control(code_point))) {
      fit += character;
    } else if (code_point == '\n') {
      fit += "\\n";
    } else {
      for (const char byte : character) {
        fmt::format_to(std::back_inserter(fit), "\\x{:02x}", static_cast<unsigned char>(byte));
      }
    }
  }
  return fit;
}

}  // namespace

std::string valid_utf8(std::string_view text) {
  return with_escapes(text, false);
}

std::string on_one_line(std::string_view text) {
  return with_escapes(text, true);
}

}  // namespace pgtwig
