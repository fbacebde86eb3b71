// The one binary: the command line, and behind `pgtwig daemon run` the daemon. The one place that knows every concrete
// type.
#include "base/fault.h"
#include "cli/cli.h"
#include "main/daemon.h"

int main(int argc, char** argv) {
  pgtwig::fault::set_up_from_environment();
  return pgtwig::cli::run(argc, argv, {.run_daemon = pgtwig::run_daemon, .require_pools = pgtwig::require_pools});
}
