#include "postgres/libpq.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <type_traits>

#include "base/error.h"

namespace pgtwig::postgres {
namespace {

constexpr const char* library_name = "libpq.so.5";

Libpq load() {
  void* const library = ::dlopen(library_name, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    throw Error(ErrorCode::not_available, fmt::format("PostgreSQL's client library cannot be loaded: {}", ::dlerror()),
                "install it: apt install libpq5");
  }
  const auto find = [library](auto& function, const char* name) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(::dlsym(library, name));
    if (function == nullptr) {
      throw Error(ErrorCode::not_available, fmt::format("{} has no function {}", library_name, name),
                  "install the libpq5 of this release");
    }
  };
  Libpq functions;
#define PGTWIG_FIND(name) find(functions.name, "PQ" #name);
  PGTWIG_LIBPQ_FUNCTIONS(PGTWIG_FIND)
#undef PGTWIG_FIND
  return functions;
}

}  // namespace

const Libpq& libpq() {
  static const Libpq functions = load();
  return functions;
}

}  // namespace pgtwig::postgres
