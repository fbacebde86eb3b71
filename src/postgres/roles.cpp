#include "postgres/roles.h"

namespace pgtwig::postgres {

void set_password(Connection& connection, const std::string& role, const std::string& password) {
  const std::string verifier = connection.scram_verifier(role, password);
  connection.query("ALTER ROLE " + quote_identifier(role) + " PASSWORD " + quote_literal(verifier));
}

void analyze_all(Connection& connection) {
  connection.query("ANALYZE");
}

}  // namespace pgtwig::postgres
