#include "proxy/tls/tls_error.h"

#include <fmt/format.h>
#include <openssl/err.h>

namespace pgtwig::proxy {

Error tls_error(std::string_view action) {
  char reason[256] = "unknown";
  if (const unsigned long code = ERR_get_error()) ERR_error_string_n(code, reason, sizeof reason);
  ERR_clear_error();
  return Error(ErrorCode::internal, fmt::format("{}: {}", action, reason));
}

}  // namespace pgtwig::proxy
