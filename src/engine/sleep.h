// When branches are suspended.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "engine/body.h"

namespace pgtwig::engine {

// How long this branch may be unused before it is suspended; zero: for ever. main is never suspended unless that was
// asked for main itself.
std::chrono::seconds suspend_after_of(const Config& config, const catalog::ProjectRecord& project,
                                      const catalog::BranchRecord& branch);
// "5m", "off".
std::string suspend_after_text(std::chrono::seconds after);

// Suspends a running branch if `is_unused` still says so once nobody else can start, stop or replace it; says whether.
// Throws Error busy when somebody is at work on it just now.
bool suspend_if(Engine& engine, const BranchPath& path, const std::function<bool(const Body&)>& is_unused);

}  // namespace pgtwig::engine
