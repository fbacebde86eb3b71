// Who the servers of tests run as: the caller, or an ordinary user where the caller is root.
#pragma once

#include <unistd.h>

#include "base/process.h"

namespace pgtwig::support {

inline OsUser postgres_user() {
  if (::geteuid() != 0) return OsUser::current();
  const auto nobody = OsUser::find("nobody");
  if (!nobody) throw Error(ErrorCode::not_found, "there is no user nobody");
  return *nobody;
}

}  // namespace pgtwig::support
