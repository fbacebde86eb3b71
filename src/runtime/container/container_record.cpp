#include "runtime/container/container_record.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "base/fs.h"

namespace pgtwig::runtime {
namespace {

constexpr const char* record_name = "container";

}  // namespace

void write_container_record(const std::filesystem::path& directory, const ContainerRecord& record) {
  write_file(directory / record_name, fmt::format("{} {}\n", record.engine, record.log_begin), 0600);
}

std::optional<ContainerRecord> read_container_record(const std::filesystem::path& directory) {
  const auto text = read_file_if_exists(directory / record_name);
  if (!text) return std::nullopt;
  const auto space = std::min(text->find(' '), text->size());
  ContainerRecord record{.engine = text->substr(0, space)};
  std::from_chars(text->data() + std::min(space + 1, text->size()), text->data() + text->size(), record.log_begin);
  return record;
}

void remove_container_record(const std::filesystem::path& directory) {
  if (::unlink((directory / record_name).c_str()) != 0 && errno != ENOENT) {
    throw system_error(errno, fmt::format("cannot remove {}", (directory / record_name).string()));
  }
}

}  // namespace pgtwig::runtime
