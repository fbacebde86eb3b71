#include "postgres/libpq.h"

#include "base/runtime_library.h"

namespace pgtwig::postgres {
namespace {

Libpq load() {
  const RuntimeLibrary library("libpq.so.5", "install PostgreSQL's client library: apt install libpq5");
  Libpq functions;
#define PGTWIG_FIND(name) library.find(functions.name, "PQ" #name);
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
