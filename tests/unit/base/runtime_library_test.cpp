#include "base/runtime_library.h"

#include <gtest/gtest.h>

#include <functional>

#include "base/error.h"

namespace pgtwig {
namespace {

ErrorCode code_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.hint(), "install it");
    return error.code();
  }
  return ErrorCode::internal;
}

TEST(RuntimeLibrary, FindsFunctions) {
  const RuntimeLibrary library("libm.so.6", "install it");
  double (*cosine)(double) = nullptr;
  library.find(cosine, "cos");
  EXPECT_EQ(cosine(0), 1);
}

TEST(RuntimeLibrary, SaysWhatToInstall) {
  EXPECT_EQ(code_of([] { RuntimeLibrary("libnone.so.1", "install it"); }), ErrorCode::not_available);
  EXPECT_EQ(code_of([] {
              void (*function)() = nullptr;
              RuntimeLibrary("libm.so.6", "install it").find(function, "none_such");
            }),
            ErrorCode::not_available);
}

}  // namespace
}  // namespace pgtwig
