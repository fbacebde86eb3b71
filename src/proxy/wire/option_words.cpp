#include "proxy/wire/option_words.h"

#include <algorithm>
#include <vector>

namespace pgtwig::proxy::wire {
namespace {

struct Word {
  std::string raw;   // with its backslashes
  std::string text;  // what it says
};

bool is_space(char letter) {
  return letter == ' ' || (letter >= '\t' && letter <= '\r');
}

std::vector<Word> split(std::string_view options) {
  std::vector<Word> words;
  for (std::size_t at = 0; at < options.size();) {
    if (is_space(options[at])) {
      ++at;
      continue;
    }
    Word word;
    for (; at < options.size() && !is_space(options[at]); ++at) {
      word.raw += options[at];
      if (options[at] == '\\') {
        // One at the very end stands for nothing.
        if (++at == options.size()) break;
        word.raw += options[at];
      }
      word.text += options[at];
    }
    words.push_back(std::move(word));
  }
  return words;
}

char lower(char letter) {
  return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
}

// The value in "name=value"; names of settings have no case.
std::optional<std::string> value_of(std::string_view assignment, std::string_view name) {
  const std::size_t equals = assignment.find('=');
  if (equals == assignment.npos) return std::nullopt;
  if (!std::ranges::equal(assignment.substr(0, equals), name, {}, lower, lower)) return std::nullopt;
  return std::string(assignment.substr(equals + 1));
}

}  // namespace

std::optional<std::string> take_setting(std::string& options, std::string_view name) {
  std::optional<std::string> found;
  std::string rest;
  const auto keep = [&](const Word& word) { rest += (rest.empty() ? "" : " ") + word.raw; };
  const std::vector<Word> words = split(options);
  for (std::size_t index = 0; index < words.size(); ++index) {
    const std::string_view text = words[index].text;
    if (text == "-c" && index + 1 < words.size()) {
      if (auto value = value_of(words[index + 1].text, name)) {
        found = std::move(value);
      } else {
        keep(words[index]);
        keep(words[index + 1]);
      }
      ++index;
      continue;
    }
    const bool is_setting = text.starts_with("--") || (text.starts_with("-c") && text.size() > 2);
    if (auto value = is_setting ? value_of(text.substr(2), name) : std::nullopt) {
      found = std::move(value);
    } else {
      keep(words[index]);
    }
  }
  if (found) options = rest;
  return found;
}

}  // namespace pgtwig::proxy::wire
