#include "cli/render/style.h"

#include <fmt/format.h>
#include <utf8proc.h>

namespace pgtwig::cli {
namespace {

struct Character {
  std::string_view bytes;
  std::size_t width;
};

// Takes the first character off `text`.
Character next_character(std::string_view& text) {
  utf8proc_int32_t code = -1;
  auto length = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                 static_cast<utf8proc_ssize_t>(text.size()), &code);
  Character character{text.substr(0, 1), 1};
  if (length > 0) {
    character.bytes = text.substr(0, static_cast<std::size_t>(length));
    character.width = static_cast<std::size_t>(utf8proc_charwidth(code));
  }
  text.remove_prefix(character.bytes.size());
  return character;
}

const char* code_of(Paint paint) {
  switch (paint) {
    case Paint::bold:
      return "1";
    case Paint::dim:
      return "2";
    case Paint::red:
      return "31";
    case Paint::green:
      return "32";
    case Paint::yellow:
      return "33";
  }
  return "0";
}

}  // namespace

std::string paint(const Terminal& terminal, Paint paint, std::string_view text) {
  if (!terminal.has_color) return std::string(text);
  return fmt::format("\x1b[{}m{}\x1b[0m", code_of(paint), text);
}

std::size_t display_width(std::string_view text) {
  std::size_t width = 0;
  while (!text.empty()) width += next_character(text).width;
  return width;
}

std::string cut_to_width(const Terminal& terminal, std::string_view text, std::size_t width) {
  if (display_width(text) <= width) return std::string(text);
  const std::string_view ellipsis = terminal.is_utf8 ? "…" : "~";
  if (width == 0) return {};
  std::string cut;
  std::size_t used = 0;
  while (!text.empty()) {
    Character character = next_character(text);
    if (used + character.width > width - 1) break;
    cut += character.bytes;
    used += character.width;
  }
  return cut.append(ellipsis);
}

std::string pad_right(std::string_view text, std::size_t width) {
  std::size_t own = display_width(text);
  return std::string(text) + std::string(own < width ? width - own : 0, ' ');
}

std::string pad_left(std::string_view text, std::size_t width) {
  std::size_t own = display_width(text);
  return std::string(own < width ? width - own : 0, ' ') + std::string(text);
}

std::string without_control_characters(std::string_view text) {
  std::string clean;
  while (!text.empty()) {
    std::string_view bytes = next_character(text).bytes;
    auto first = static_cast<unsigned char>(bytes.front());
    auto last = static_cast<unsigned char>(bytes.back());
    const bool is_c0 = bytes.size() == 1 && (first < 0x20 || first == 0x7f);
    // U+0080 to U+009F, which terminals obey as they do escape sequences, also as single bytes.
    const bool is_c1 = last >= 0x80 && last <= 0x9f && (bytes.size() == 1 || (bytes.size() == 2 && first == 0xc2));
    if (is_c0 || is_c1)
      clean += fmt::format("\\x{:02x}", last);
    else
      clean += bytes;
  }
  return clean;
}

std::vector<std::string> wrap_words(std::string_view text, std::size_t width) {
  std::vector<std::string> lines;
  std::string line;
  while (!text.empty()) {
    auto blank = text.find(' ');
    std::string_view word = text.substr(0, blank);
    text.remove_prefix(blank == std::string_view::npos ? text.size() : blank + 1);
    if (!line.empty() && display_width(line) + 1 + display_width(word) > width) {
      lines.push_back(std::move(line));
      line.clear();
    }
    if (!line.empty()) line += ' ';
    line += word;
  }
  if (!line.empty()) lines.push_back(std::move(line));
  return lines;
}

}  // namespace pgtwig::cli
