// Where an installation keeps its things. PGTWIG_ROOT moves everything under one folder.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "base/ids.h"

namespace pgtwig {

struct Paths {
  std::filesystem::path state;        // /var/lib/pgtwig · ~/.local/state/pgtwig · $PGTWIG_ROOT
  std::filesystem::path run;          // /run/pgtwig · <state>/run
  std::filesystem::path socket;       // <run>/pgtwig.sock, or PGTWIG_SOCKET
  std::filesystem::path config_file;  // /etc/pgtwig/pgtwig.toml · ~/.config/pgtwig/pgtwig.toml ·
                                      // $PGTWIG_ROOT/pgtwig.toml, or PGTWIG_CONFIG

  std::filesystem::path catalog() const { return state / "catalog.db"; }
  std::filesystem::path pools() const { return state / "pools"; }
  std::filesystem::path log_file() const { return state / "log" / "daemon.log"; }
  std::filesystem::path instances() const { return run / "i"; }
  // Everything of one instance that is not its data: socket directory, generated configuration, pid record.
  std::filesystem::path instance(const IncarnationId& id) const { return instances() / id.brief(); }
  std::filesystem::path instance_log(const IncarnationId& id) const { return state / "log" / (id.brief() + ".log"); }
  // Of the endpoint for all branches: its certificate authority, whose ca.crt clients may read.
  std::filesystem::path endpoint() const { return state / "endpoint"; }
  std::filesystem::path daemon_lock() const { return run / "daemon.lock"; }
  // A second one: installations with run directories of their own may share this one by mistake.
  std::filesystem::path state_lock() const { return state / "state.lock"; }
  // What is known without the catalog: the installation's id and its pools elsewhere, a line each.
  std::filesystem::path installation_file() const { return state / "installation"; }
  // A program that the instances' user can run: it archives their WAL and fetches it again.
  std::filesystem::path helper() const { return state / "helper" / "pgtwig"; }
  std::filesystem::path start_lock() const { return run / "start.lock"; }
  std::filesystem::path pid_file() const { return run / "daemon.pid"; }
};

// From the environment (PGTWIG_ROOT, PGTWIG_SOCKET, PGTWIG_CONFIG, HOME, XDG_*) and whether the caller is root. Throws
// Error invalid_argument when a socket path would not fit its 107 bytes.
Paths find_paths(const std::map<std::string, std::string>& environment, bool is_root);
std::map<std::string, std::string> current_environment();
// Makes those of an installation's directories that are not there. Others may go through root's to what is theirs, but
// see nothing on the way. One that is there is left as it is: PGTWIG_ROOT may be a directory with another use.
void make_installation_directories(const Paths& paths, bool is_root);

}  // namespace pgtwig
