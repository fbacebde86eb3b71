// Instances in containers, by the command line of docker, podman or nerdctl. The engine is asked to start a container,
// what became of it, and to remove it; between these the instance is a process like any other, and neither an engine
// that is down nor one that is slow stands in the way of seeing it, stopping it or talking to it.
#pragma once

#include <memory>

#include "runtime/container/dialect.h"
#include "runtime/instance_runtime.h"

namespace pgtwig::runtime {

std::unique_ptr<InstanceRuntime> make_container_runtime(std::string_view engine, const ContainerOptions& options);

}  // namespace pgtwig::runtime
