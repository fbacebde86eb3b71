// The one way an error is shown: a line of what failed and why, a line of what to do next; or JSON.
#pragma once

#include "base/error.h"
#include "cli/console.h"

namespace pgtwig::cli {

void show_error(const Error& error, Console& console, bool as_json);

}  // namespace pgtwig::cli
