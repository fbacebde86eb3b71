// The daemon's note that an instance is a container's: `container` in the instance's directory, which PostgreSQL cannot
// write. It is there before the container is, so that no container is without one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace pgtwig::runtime {

struct ContainerRecord {
  std::string engine;           // its name
  std::uint64_t log_begin = 0;  // where the lines of this container begin in the instance's log file
};

void write_container_record(const std::filesystem::path& directory, const ContainerRecord& record);
std::optional<ContainerRecord> read_container_record(const std::filesystem::path& directory);
void remove_container_record(const std::filesystem::path& directory);

}  // namespace pgtwig::runtime
