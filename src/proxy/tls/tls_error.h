// What the TLS library says of its last failure.
#pragma once

#include <string_view>

#include "base/error.h"

namespace pgtwig::proxy {

// `action`: "cannot make a TLS context". Takes the library's oldest error and forgets the others of this thread.
Error tls_error(std::string_view action);

}  // namespace pgtwig::proxy
