// Fault points: named places where a test can make the real program fail or die.
//
// PGTWIG_FAULT="create_branch.forked=kill" ends the process there with SIGKILL; "...=fail" throws an Error;
// "...=pause:FILE" waits there until FILE is gone, having made it; a ":N" behind the name
// ("create_branch.forked:3=kill") acts at the N-th passage. Without the variable a point costs one load of a flag.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace pgtwig::fault {

// Reads PGTWIG_FAULT; called once by main/. PGTWIG_FAULT_LOG names a file to which each passed point's name is
// appended, so that a test can learn all there are.
void set_up_from_environment();
void point(std::string_view name);

}  // namespace pgtwig::fault
