// What `branch set` and `project set` share, and the options of a project's own configuration files.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "cli/command.h"
#include "cli/session.h"

namespace pgtwig::cli {

Option new_suspend_time_option(const std::string& otherwise);
// PUT .../suspend-after of a project's or branch's target; returns the answer.
std::string set_suspend_after(Session& session, const std::string& target, const std::string& after);
// "is suspended after 5m without use".
std::string suspend_words(const std::string& suspend_after);
Error nothing_to_set(const Session& session);

// --conf-file, --hba-file, --ident-file and --config-directory.
std::vector<Option> own_file_options();
// The files that they name, read here, by the user who names them: "pg_hba.conf" -> its text, empty for "none". Throws
// Error not_found, invalid_argument.
std::map<std::string, std::string> own_files(const Session& session);

}  // namespace pgtwig::cli
