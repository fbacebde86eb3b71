// The runtimes of an installation by their names: one engine serves projects of all of them.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/instance_runtime.h"

namespace pgtwig::runtime {

class Runtimes {
 public:
  explicit Runtimes(std::vector<std::unique_ptr<InstanceRuntime>> all) : all_(std::move(all)) {}

  // Throws Error not_available, naming those there are.
  InstanceRuntime& get(std::string_view name) const;

 private:
  std::vector<std::unique_ptr<InstanceRuntime>> all_;
};

}  // namespace pgtwig::runtime
