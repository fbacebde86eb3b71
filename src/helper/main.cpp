// The program that PostgreSQL runs for each WAL file that it archives or wants back. Linked statically, so that it runs
// in a container of any image as it runs on this machine, and starts in a fraction of the time that pgtwig itself
// would take. It also tells what PostgreSQL an image has, asked from inside. pgtwig carries it and puts it where
// instances find it (main/helper_program.h).
#include <cstdio>
#include <string_view>

#include "archive/helper.h"
#include "base/fault.h"
#include "postgres/server_facts.h"

int main(int argc, char** argv) {
  pgtwig::fault::set_up_from_environment();
  if (argc == 2 && std::string_view(argv[1]) == "server-facts") return pgtwig::postgres::print_server_facts();
  if (const auto status = pgtwig::archive::run_helper(argc, argv)) return *status;
  std::fputs("usage: wal push|fetch ...; PostgreSQL runs this program as its archive_command and restore_command\n",
             stderr);
  return 2;
}
