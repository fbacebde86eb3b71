#include "cli/render/text_formats.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>

#include "base/error.h"

namespace pgtwig::cli {
namespace {

namespace json = boost::json;

json::value parse(std::string_view text) {
  boost::system::error_code error;
  json::value value = json::parse(json::string_view(text.data(), text.size()), error);
  if (error) throw Error(ErrorCode::internal, "the daemon's answer is not JSON: " + error.message());
  return value;
}

std::string quoted(const json::string& text) {
  return json::serialize(json::string_view(text.data(), text.size()));
}

std::string quoted(json::string_view text) {
  return json::serialize(text);
}

bool is_empty_container(const json::value& value) {
  return (value.is_object() && value.get_object().empty()) || (value.is_array() && value.get_array().empty());
}

bool is_leaf(const json::value& value) {
  return (!value.is_object() && !value.is_array()) || is_empty_container(value);
}

void append_pretty(std::string& out, const json::value& value, std::size_t depth) {
  if (is_leaf(value)) {
    out += json::serialize(value);
    return;
  }
  const std::string indent(2 * (depth + 1), ' ');
  std::string separator = "\n";
  out += value.is_object() ? '{' : '[';
  if (const auto* object = value.if_object()) {
    for (const auto& [key, member] : *object) {
      out += separator + indent + quoted(key) + ": ";
      append_pretty(out, member, depth + 1);
      separator = ",\n";
    }
  } else {
    for (const auto& element : value.get_array()) {
      out += separator + indent;
      append_pretty(out, element, depth + 1);
      separator = ",\n";
    }
  }
  out += "\n" + std::string(2 * depth, ' ');
  out += value.is_object() ? '}' : ']';
}

// Conservative: a plain scalar starts with a letter or '/', holds nothing that YAML gives a meaning, and is no word
// that some version of YAML reads as a boolean or null.
bool is_plain_yaml(std::string_view text) {
  static constexpr std::string_view words[] = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"};
  if (text.empty()) return false;
  auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  if (!is_letter(text.front()) && text.front() != '/') return false;
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
  if (std::find(std::begin(words), std::end(words), lower) != std::end(words)) return false;
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return is_letter(c) || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.' || c == '/';
  });
}

std::string yaml_scalar(const json::value& value) {
  const auto* text = value.if_string();
  if (text == nullptr) return json::serialize(value);
  return is_plain_yaml({text->data(), text->size()}) ? std::string(text->data(), text->size()) : quoted(*text);
}

void append_yaml(std::string& out, const json::value& value, std::size_t depth, bool is_after_dash);

void append_yaml_member(std::string& out, const json::value& member, std::size_t depth) {
  if (is_leaf(member)) {
    out += " " + yaml_scalar(member) + "\n";
    return;
  }
  out += "\n";
  append_yaml(out, member, member.is_array() ? depth : depth + 1, false);
}

// `is_after_dash`: the first line goes on behind "- ".
void append_yaml(std::string& out, const json::value& value, std::size_t depth, bool is_after_dash) {
  const std::string indent(2 * depth, ' ');
  bool is_first = true;
  auto begin_line = [&] {
    if (!is_first || !is_after_dash) out += indent;
    is_first = false;
  };
  if (is_leaf(value)) {
    begin_line();
    out += yaml_scalar(value) + "\n";
  } else if (const auto* object = value.if_object()) {
    for (const auto& [key, member] : *object) {
      begin_line();
      out += is_plain_yaml({key.data(), key.size()}) ? std::string(key.data(), key.size()) : quoted(key);
      out += ":";
      append_yaml_member(out, member, depth);
    }
  } else {
    for (const auto& element : value.get_array()) {
      begin_line();
      out += "- ";
      append_yaml(out, element, depth + 1, true);
    }
  }
}

bool is_harmless_in_shell(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("_-./:@%+,").find(static_cast<char>(c)) != std::string_view::npos;
  });
}

std::string shell_quoted(std::string_view text) {
  if (is_harmless_in_shell(text)) return std::string(text);
  std::string quoted_text = "'";
  for (char c : text) {
    if (c == '\'')
      quoted_text += "'\\''";
    else
      quoted_text += c;
  }
  return quoted_text + "'";
}

}  // namespace

std::string render_json(std::string_view text, bool is_pretty) {
  if (!is_pretty) return std::string(text) + "\n";
  std::string out;
  append_pretty(out, parse(text), 0);
  return out + "\n";
}

std::string render_yaml(std::string_view text) {
  std::string out;
  append_yaml(out, parse(text), 0, false);
  return out;
}

std::string render_environment(const std::vector<std::pair<std::string, std::string>>& variables) {
  std::string text;
  for (const auto& [name, value] : variables) text += name + "=" + shell_quoted(value) + "\n";
  return text;
}

}  // namespace pgtwig::cli
