// The one binary: the command line, behind `pgtwig daemon run` the daemon, and the programs that PostgreSQL runs to
// archive its WAL and to fetch it. The one place that knows every concrete type.
#include "archive/helper.h"
#include "base/fault.h"
#include "cli/cli.h"
#include "main/daemon.h"

int main(int argc, char** argv) {
  pgtwig::fault::set_up_from_environment();
  // First and without anything else: a busy server runs it many times in a second.
  if (const auto status = pgtwig::archive::run_helper(argc, argv)) return *status;
  return pgtwig::cli::run(argc, argv, {.run_daemon = pgtwig::run_daemon});
}
