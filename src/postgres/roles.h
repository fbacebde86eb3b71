// Statements about roles and statistics that the engine needs, so that it holds no SQL itself.
#pragma once

#include <optional>
#include <string>

#include "postgres/connection.h"

namespace pgtwig::postgres {

// The role that pgtwig makes for the user of a cluster.
inline constexpr const char* owner_role = "postgres";

// The verifier is computed here (SCRAM-SHA-256), so that the password itself reaches neither the server's log nor its
// statistics.
void set_password(Connection& connection, const std::string& role, const std::string& password);
// What the server says of the first line of its pg_ident.conf that it doesn't take; nullopt: it takes all of them, or
// is too old to tell.
std::optional<std::string> ident_file_error(Connection& connection);
// Planner statistics of the connected database: a restored dump has none.
void analyze_all(Connection& connection);

}  // namespace pgtwig::postgres
