// A connection's phases, in the order in which a client goes through them.
#pragma once

#include <memory>

#include "proxy/connection.h"
#include "proxy/wire/start_up_answer.h"

namespace pgtwig::proxy {

// TLS or not, and what it wants: a session or a cancel.
std::unique_ptr<Phase> make_hello();
// Passes a CancelRequest on.
std::unique_ptr<Phase> make_cancel(wire::CancelKey key);
// Which branch, and where; wakes it.
std::unique_ptr<Phase> make_find();
// To the instance, and what it says first.
std::unique_ptr<Phase> make_connect(const BranchAddress& address);
// Until the instance says that it is ready, the client's words and its own pass under the eyes of the answer's parser.
std::unique_ptr<Phase> make_authenticate(std::unique_ptr<wire::StartUpAnswer> answer, Direction to_client);
// The session proper: bytes both ways.
std::unique_ptr<Phase> make_relay(Direction to_instance, Direction to_client);
// The last words, and the client's hanging up.
std::unique_ptr<Phase> make_farewell(Direction last_words);

}  // namespace pgtwig::proxy
