// The records of branch bodies as they are born: where each came from, and which WAL is its own.
#pragma once

#include <string>

#include "engine/instances.h"

namespace pgtwig::engine {

// Of a project's first body.
catalog::IncarnationRecord first_incarnation(const Body& body);
// Of a fork, after it was made and before its first start; removes the WAL of its source that it does not begin with.
// `cause`: "create", "reset", "restore". It begins when it is recorded: see began().
catalog::IncarnationRecord forked_incarnation(const Body& source, const Body& target, std::string cause);

// Into the transaction that makes the body a branch's: it begins now.
void record_incarnation(catalog::Transaction& transaction, catalog::IncarnationRecord& incarnation, TimePoint now);
// The record of one that is replaced now.
catalog::IncarnationRecord ended(catalog::IncarnationRecord incarnation, TimePoint now);

}  // namespace pgtwig::engine
