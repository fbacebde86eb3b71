#include "postgres/roles.h"

namespace pgtwig::postgres {
namespace {

std::string alter_role(const std::string& role, const std::string& verifier) {
  return "ALTER ROLE " + quote_identifier(role) + " PASSWORD " + quote_literal(verifier);
}

}  // namespace

std::string set_password_statement(const std::string& role, const std::string& password) {
  return alter_role(role, scram_verifier(role, password));
}

void set_password(Connection& connection, const std::string& role, const std::string& password) {
  connection.query(alter_role(role, connection.scram_verifier(role, password)));
}

void analyze_all(Connection& connection) {
  connection.query("ANALYZE");
}

}  // namespace pgtwig::postgres
