// Statements about roles and statistics that the engine needs, so that it holds no SQL itself.
#pragma once

#include <string>

#include "postgres/connection.h"

namespace pgtwig::postgres {

// The role that pgtwig makes for the user of a cluster.
inline constexpr const char* owner_role = "postgres";

// The verifier is computed here (SCRAM-SHA-256), so that the password itself reaches neither the server's log nor its
// statistics.
void set_password(Connection& connection, const std::string& role, const std::string& password);
// Planner statistics of the connected database: a restored dump has none.
void analyze_all(Connection& connection);

}  // namespace pgtwig::postgres
