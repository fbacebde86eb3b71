// Where a setting comes from that PostgreSQL doesn't start with: its own words only name it. Called when a start has
// failed.
#pragma once

#include <optional>
#include <string>

#include "engine/engine.h"
#include "engine/instances.h"

namespace pgtwig::engine {

// A hint that says who gave a setting that these words name, and how that is changed; nullopt when they name none.
std::optional<std::string> hint_about_setting(Engine& engine, const Body& body, const std::string& words);

}  // namespace pgtwig::engine
