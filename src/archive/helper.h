// What PostgreSQL itself runs, as its own user: `wal push` is the archive_command, `wal fetch` the restore_command of a
// recovery. They are the whole of the program in helper/, and need no daemon.
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include "base/bytes.h"

namespace pgtwig::archive {

// The text for archive_command: `helper` is the program, `segments` relative to the data directory (PostgreSQL's
// working directory), so that no path in it needs more than quoting.
std::string archive_command(const std::filesystem::path& helper, const std::filesystem::path& segments, Bytes limit);
// The text for restore_command; `restore` is the archive's restore/.
std::string restore_command(const std::filesystem::path& helper, const std::filesystem::path& restore);

// `arguments`: what follows `wal push`. Exit status 0: archived (or left out, see push()); 1 to 125: PostgreSQL
// will try again. Errors are a line on stderr, which is in the instance's log.
int push_main(std::span<const std::string> arguments);
// Copies the file that PostgreSQL asks for, by reflink where it can be, from restore/ and notes its name in
// restore/progress, which tells how far a recovery has come. Exit status 1: there is no such file, which is an ordinary
// answer. PostgreSQL takes a status above 125 for a reason to stop.
int fetch_main(std::span<const std::string> arguments);
// What `wal push ...` and `wal fetch ...` do, given main()'s arguments; nullopt for any other command.
std::optional<int> run_helper(int argc, const char* const* argv);
// The last segment that was fetched.
std::string fetch_progress(const std::filesystem::path& restore);

}  // namespace pgtwig::archive
