#include "base/runtime_library.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <utility>

#include "base/error.h"

namespace pgtwig {

RuntimeLibrary::RuntimeLibrary(std::string soname, std::string what_to_install)
    : soname_(std::move(soname)),
      what_to_install_(std::move(what_to_install)),
      handle_(::dlopen(soname_.c_str(), RTLD_NOW | RTLD_LOCAL)) {
  if (handle_ == nullptr) {
    const char* const reason = ::dlerror();  // begins with the soname
    throw Error(ErrorCode::not_available, fmt::format("cannot load {}", reason ? reason : soname_.c_str()),
                what_to_install_);
  }
}

void* RuntimeLibrary::address_of(const char* name) const {
  void* const address = ::dlsym(handle_, name);
  if (address == nullptr) {
    throw Error(ErrorCode::not_available, fmt::format("{} is of another release: it has no function {}", soname_, name),
                what_to_install_);
  }
  return address;
}

}  // namespace pgtwig
