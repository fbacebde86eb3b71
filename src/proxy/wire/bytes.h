// Big-endian numbers in a text, as the protocol has them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace pgtwig::proxy::wire {

// `text` has four bytes at `at`.
inline std::uint32_t read_u32(std::string_view text, std::size_t at = 0) {
  std::uint32_t value = 0;
  for (std::size_t index = at; index < at + 4; ++index) value = value << 8 | static_cast<unsigned char>(text[index]);
  return value;
}

inline void append_u32(std::string& text, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) text += static_cast<char>(value >> shift & 0xff);
}

// A text can't hold the byte that ends it.
inline void append_text(std::string& text, std::string_view value) {
  text += value.substr(0, value.find('\0'));
  text += '\0';
}

}  // namespace pgtwig::proxy::wire
