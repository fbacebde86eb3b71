// The functions of libpq, which is loaded when the first of them is called and not when the program starts: it brings
// some twenty other libraries along, and each command of the command line would wait for them.
#pragma once

#include <libpq-fe.h>

namespace pgtwig::postgres {

// clang-format off
#define PGTWIG_LIBPQ_FUNCTIONS(each)                                                                \
  each(connectStart) each(connectStartParams) each(connectPoll) each(finish)                        \
  each(setErrorVerbosity) each(setNoticeProcessor) each(setnonblocking)                             \
  each(status) each(errorMessage) each(socket) each(backendPID) each(db) each(serverVersion)        \
  each(sendQueryParams) each(flush) each(isBusy) each(consumeInput) each(getResult)                 \
  each(resultStatus) each(resultErrorField) each(ntuples) each(nfields) each(getisnull)             \
  each(getvalue) each(clear)                                                                        \
  each(encryptPasswordConn) each(freemem)
// clang-format on

// Each without its PQ.
struct Libpq {
#define PGTWIG_MEMBER(name) decltype(&::PQ##name) name = nullptr;
  PGTWIG_LIBPQ_FUNCTIONS(PGTWIG_MEMBER)
#undef PGTWIG_MEMBER
};

// Throws Error not_available when the library is not installed. It stays loaded.
const Libpq& libpq();

}  // namespace pgtwig::postgres
