// How often a branch gets a restore point by itself: what was set for it, or what the configuration says.
#pragma once

#include <string>

#include "engine/body.h"
#include "engine/views.h"

namespace pgtwig::engine {

struct Schedule {
  std::chrono::seconds every{0};  // zero: never
  std::string keep;
  bool is_default = true;
};
// By default only main gets restore points, and where a fork shares no blocks nothing does. Throws Error storage_failed
// when it must know and the pool is away.
Schedule schedule_of(Engine& engine, const catalog::ProjectRecord& project, const catalog::BranchRecord& branch);

}  // namespace pgtwig::engine
