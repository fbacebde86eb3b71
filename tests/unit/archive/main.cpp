// The tests, and behind `wal push` and `wal fetch` the helper itself, as in the real program: what PostgreSQL is given
// as its archive command here is this very file.
#include <gtest/gtest.h>

#include "archive/helper.h"
#include "base/fault.h"

int main(int argc, char** argv) {
  pgtwig::fault::set_up_from_environment();
  if (const auto status = pgtwig::archive::run_helper(argc, argv)) return *status;
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
