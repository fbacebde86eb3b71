// A directory of a test's own, gone with it.
#pragma once

#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>

#include "base/error.h"
#include "base/fs.h"

namespace pgtwig::support {

class TemporaryDirectory {
 public:
  // Others may enter it, as the servers that tests start run as another user.
  TemporaryDirectory() {
    std::string name = "/tmp/pgtwig-test-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) throw system_error(errno, "cannot make a temporary directory");
    path_ = name;
    ::chmod(name.c_str(), 0755);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() {
    try {
      remove_tree(path_);
    } catch (const Error&) {
      // A test that leaves something unremovable has failed already or is found by the leak check.
    }
  }
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

}  // namespace pgtwig::support
