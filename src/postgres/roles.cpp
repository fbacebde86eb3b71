#include "postgres/roles.h"

namespace pgtwig::postgres {

std::string set_password_statement(const std::string& role, const std::string& password) {
  return "ALTER ROLE " + quote_identifier(role) + " PASSWORD " + quote_literal(scram_verifier(role, password));
}

void set_password(Connection& connection, const std::string& role, const std::string& password) {
  connection.query(set_password_statement(role, password));
}

void analyze_all(Connection& connection) {
  connection.query("ANALYZE");
}

}  // namespace pgtwig::postgres
