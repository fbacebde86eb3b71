#include "runtime/runtimes.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/fs.h"
#include "runtime/container/container_record.h"

namespace pgtwig::runtime {

InstanceRuntime& Runtimes::get(std::string_view name) const {
  std::string names;
  for (const auto& runtime : all_) {
    if (runtime->name() == name) return *runtime;
    names += fmt::format("{}{}", names.empty() ? "" : ", ", runtime->name());
  }
  throw Error(ErrorCode::not_available, fmt::format("there is no runtime called {}", name),
              fmt::format("choose one of {}", names));
}

std::string recorded_runtime(const std::filesystem::path& instance_directory) {
  const auto container = read_container_record(instance_directory);
  return container ? container->engine : "native";
}

}  // namespace pgtwig::runtime
