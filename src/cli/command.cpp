#include "cli/command.h"

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

const Command* find_command(const Command& group, std::string_view name) {
  for (const auto& command : group.commands)
    if (std::find(command.names.begin(), command.names.end(), name) != command.names.end()) return &command;
  return nullptr;
}

}  // namespace pgtwig::cli
