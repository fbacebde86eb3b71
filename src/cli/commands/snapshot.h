// The snapshot commands that live in files of their own.
#pragma once

#include "cli/command.h"

namespace pgtwig::cli {

Command schedule_commands();

}  // namespace pgtwig::cli
