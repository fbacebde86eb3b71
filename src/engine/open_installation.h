// The part of opening an installation that goes on in the background.
#pragma once

#include <functional>

namespace pgtwig::engine {

class Engine;

// Brings every manifest and every record of a body up to date and starts, one after another, the instances that should
// run and do not: after a restart of the machine all of them. What does not start is logged and shown as failed. False
// when some could not have their turn: their pool is away, or another operation held them.
bool restore_instances(Engine& engine, const std::function<bool()>& is_stopping);

}  // namespace pgtwig::engine
