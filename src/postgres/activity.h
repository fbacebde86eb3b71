// Whether anybody uses an instance, as its statistics tell. What pgtwig itself does there is no use, and neither are
// sessions that do nothing, whoever keeps them open.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "postgres/connection.h"

namespace pgtwig::postgres {

struct Activity {
  // Just now: a statement runs, a transaction is open, somebody is logging in, a base backup or a replica that catches
  // up is fed, or a subscription is, whose publisher would keep its WAL for it.
  bool is_in_use = false;
  // Since the last statement of the sessions that are still there; nullopt: there are none.
  std::optional<std::chrono::milliseconds> idle_for;
  // Sessions that there have been, those of the admin role included. A server before 14 doesn't count them: 0.
  std::int64_t sessions = 0;
  // Differs when data went to a replica, statistics were reset, or a database came or went.
  std::string marks;
};

// Prepared transactions are no use: they outlast a shutdown. Throws Error as Connection::query() does; a server that
// doesn't answer within seconds is not waited for.
Activity read_activity(Connection& connection);

}  // namespace pgtwig::postgres
