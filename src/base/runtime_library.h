// A shared library that is opened when it is needed and not when the program starts. It stays open.
#pragma once

#include <string>

namespace pgtwig {

class RuntimeLibrary {
 public:
  // By its soname, "libpq.so.5". Throws Error not_available, with the hint, when it cannot be opened.
  RuntimeLibrary(std::string soname, std::string what_to_install);

  // Throws Error not_available when it has no such function, nor do the libraries that it depends on.
  template <class Function>
  void find(Function*& function, const char* name) const {
    function = reinterpret_cast<Function*>(address_of(name));
  }

 private:
  void* address_of(const char* name) const;

  std::string soname_;
  std::string what_to_install_;
  void* handle_;
};

}  // namespace pgtwig
