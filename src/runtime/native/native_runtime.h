// Instances as plain processes of this machine.
#pragma once

#include <memory>

#include "runtime/instance_runtime.h"

namespace pgtwig::runtime {

std::unique_ptr<InstanceRuntime> make_native_runtime();

}  // namespace pgtwig::runtime
