#include "runtime/container/container_record.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "base/fs.h"

namespace pgtwig::runtime {
namespace {

constexpr const char* file_name = "container";

}  // namespace

void write_container_record(const std::filesystem::path& directory, const ContainerRecord& record) {
  write_file(directory / file_name, fmt::format("{} {}\n", record.engine, record.log_begin), 0600);
}

std::optional<ContainerRecord> read_container_record(const std::filesystem::path& directory) {
  const auto text = read_file_if_exists(directory / file_name);
  if (!text) return std::nullopt;
  const auto space = std::min(text->find(' '), text->size());
  ContainerRecord record{.engine = text->substr(0, space)};
  std::from_chars(text->data() + std::min(space + 1, text->size()), text->data() + text->size(), record.log_begin);
  return record;
}

void remove_container_record(const std::filesystem::path& directory) {
  if (::unlink((directory / file_name).c_str()) != 0 && errno != ENOENT) {
    throw system_error(errno, fmt::format("cannot remove {}", (directory / file_name).string()));
  }
}

}  // namespace pgtwig::runtime
