#include "cli/command.h"

#include <fmt/format.h>

#include <algorithm>

namespace pgtwig::cli {

std::vector<Format> plain_formats() {
  return {Format::table, Format::json, Format::yaml};
}

std::vector<Format> named_formats() {
  return {Format::table, Format::json, Format::yaml, Format::name};
}

std::vector<Format> branch_formats() {
  return {Format::table, Format::json, Format::yaml, Format::name, Format::dsn, Format::env};
}

std::string_view format_name(Format format) {
  switch (format) {
    case Format::table:
      return "table";
    case Format::json:
      return "json";
    case Format::yaml:
      return "yaml";
    case Format::name:
      return "name";
    case Format::dsn:
      return "dsn";
    case Format::env:
      return "env";
  }
  return "table";
}

std::string passing_on_hint(const Command& command) {
  for (const auto& example : command.examples)
    if (!command.rest.empty() && example.command.find(" -- ") != std::string::npos)
      return fmt::format("what {} passes on goes behind '--', as in `{}`", command.name(), example.command);
  return {};
}

const Command* find_command(const Command& group, std::string_view name) {
  for (const auto& command : group.commands)
    if (std::find(command.names.begin(), command.names.end(), name) != command.names.end()) return &command;
  return nullptr;
}

}  // namespace pgtwig::cli
