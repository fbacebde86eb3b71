// The runtimes that most tests need.
#pragma once

#include <memory>
#include <vector>

#include "runtime/native/native_runtime.h"
#include "runtime/runtimes.h"

namespace pgtwig::support {

inline runtime::Runtimes native_only() {
  std::vector<std::unique_ptr<runtime::InstanceRuntime>> all;
  all.push_back(runtime::make_native_runtime());
  return runtime::Runtimes(std::move(all));
}

}  // namespace pgtwig::support
