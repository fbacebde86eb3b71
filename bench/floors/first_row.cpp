// Connects and fetches one row for every line it reads, so that bench/run can time a connection without the start of a
// program in it. A line is a libpq connection string; the answer is "ok", or what went wrong, on one line.
#include <libpq-fe.h>

#include <algorithm>
#include <iostream>
#include <string>

int main() {
  std::string line;
  while (std::getline(std::cin, line)) {
    PGconn* connection = PQconnectdb(line.c_str());
    std::string answer = "ok";
    PGresult* result = PQstatus(connection) == CONNECTION_OK ? PQexec(connection, "SELECT 1") : nullptr;
    if (PQresultStatus(result) != PGRES_TUPLES_OK) answer = std::string("error: ") + PQerrorMessage(connection);
    PQclear(result);
    PQfinish(connection);
    std::ranges::replace(answer, '\n', ' ');
    std::cout << answer << std::endl;
  }
  return 0;
}
