// The program that PostgreSQL runs to archive its WAL and to fetch it. The one binary carries it (main/helper_image.h)
// and puts it where every instance can run it: a busy server does so many times in a second, so there is nothing in it
// to load, and a container needs no library for it.
#include "archive/helper.h"

#include <cstdio>

#include "base/fault.h"

int main(int argc, char** argv) {
  pgtwig::fault::set_up_from_environment();
  if (const auto status = pgtwig::archive::run_helper(argc, argv)) return *status;
  std::fputs("this is the part of pgtwig that PostgreSQL runs: it knows `wal push` and `wal fetch`\n", stderr);
  return 1;
}
