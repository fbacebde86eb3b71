#include "postgres/roles.h"

namespace pgtwig::postgres {

void set_password(Connection& connection, const std::string& role, const std::string& password) {
  const std::string verifier = connection.scram_verifier(role, password);
  connection.query("ALTER ROLE " + quote_identifier(role) + " PASSWORD " + quote_literal(verifier));
}

std::optional<std::string> ident_file_error(Connection& connection) {
  constexpr int first_with_view = 150000;
  if (connection.server_version() < first_with_view) return std::nullopt;
  const auto rows = connection.query(
      "SELECT error FROM pg_catalog.pg_ident_file_mappings WHERE error IS NOT NULL ORDER BY line_number LIMIT 1");
  return rows.empty() ? std::nullopt : rows.front().at(0);
}

void analyze_all(Connection& connection) {
  connection.query("ANALYZE");
}

}  // namespace pgtwig::postgres
