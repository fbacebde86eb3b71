// The WAL archive of a body: whether it has one, what its instance is told of it, and what goes into it when the body
// ends.
#pragma once

#include <optional>
#include <string>

#include "archive/local_archive.h"
#include "engine/instances.h"

namespace pgtwig::engine {

// Why its next start will not archive, as a sentence about it; nullopt: it will.
std::optional<std::string> why_not_archived(const Engine& engine, const Body& body);
// Whether the configuration files in this data directory have an archive_command of the user's own.
bool archives_on_its_own(const Body& body);
archive::LocalArchive archive_of(const OpenPool& pool, const IncarnationId& incarnation);
archive::LocalArchive archive_of(const Body& body);

// Before a start: makes the archive of a body that has none yet, if it is to have one, with the record of the body.
// Returns what the command line says of it, after what keeps a branch to itself.
postgres::SettingList prepare_archive(Engine& engine, const Body& body);
// The record that lies in the archive, where there is one, so that a lost catalog can be made again with its histories.
// The catalog is right whatever becomes of it, and the next daemon writes it again.
void refresh_incarnation_file(const OpenPool& pool, const catalog::IncarnationRecord& incarnation) noexcept;

// Puts into its archive what WAL is left in the volume of a body that will never run again, its last, partial segment
// included. What cannot be had is logged: the window ends earlier then. Throws Error for what another try may mend.
void archive_rest(Engine& engine, const OpenPool& pool, const catalog::IncarnationRecord& incarnation);

}  // namespace pgtwig::engine
