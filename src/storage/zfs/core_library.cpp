// libzfs_core by dlopen. Its prototypes are those of libzfs_core.h and sys/nvpair.h, which are the same behind the
// soname libzfs_core.so.3 in every OpenZFS from 0.8 on.
#include "storage/zfs/core_library.h"

#include <fmt/format.h>

#include <array>
#include <cerrno>

#include "base/process.h"
#include "base/runtime_library.h"
#include "storage/zfs/zfs_error.h"
#include "storage/zfs/zpool.h"

namespace pgtwig::storage::zfs {

struct nvlist;  // nvlist_t, opaque

namespace {

constexpr unsigned unique_names = 1;       // NV_UNIQUE_NAME
constexpr int file_system_dataset = 2;     // LZC_DATSET_TYPE_ZFS
constexpr std::size_t longest_name = 256;  // ZFS_MAX_DATASET_NAME_LEN

// Loads the kernel module where udev and the device node have not done so; what it says comes out when the library
// tries.
void load_module() {
  Command command;
  command.argv = {"modprobe", "--quiet", "zfs"};
  try {
    run_command(command);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::not_available) throw;
  }
}

}  // namespace

struct CoreLibrary::Symbols {
  int (*init)() = nullptr;
  void (*fini)() = nullptr;
  int (*exists)(const char*) = nullptr;
  int (*create)(const char*, int, nvlist*, std::uint8_t*, unsigned) = nullptr;
  int (*clone)(const char*, const char*, nvlist*) = nullptr;
  int (*promote)(const char*, char*, int) = nullptr;
  int (*destroy)(const char*) = nullptr;
  int (*snapshot)(nvlist*, nvlist*, nvlist**) = nullptr;
  int (*destroy_snaps)(nvlist*, int, nvlist**) = nullptr;
  int (*sync)(const char*, nvlist*, nvlist**) = nullptr;

  int (*list_alloc)(nvlist**, unsigned, int) = nullptr;
  void (*list_free)(nvlist*) = nullptr;
  int (*add_number)(nvlist*, const char*, std::uint64_t) = nullptr;
  int (*add_text)(nvlist*, const char*, const char*) = nullptr;
  int (*add_name)(nvlist*, const char*) = nullptr;
  int (*add_flag)(nvlist*, const char*, int) = nullptr;

  // libnvpair is a dependency of libzfs_core, and is searched with it.
  void find_all(const RuntimeLibrary& library) {
    library.find(init, "libzfs_core_init");
    library.find(fini, "libzfs_core_fini");
    library.find(exists, "lzc_exists");
    library.find(create, "lzc_create");
    library.find(clone, "lzc_clone");
    library.find(promote, "lzc_promote");
    library.find(destroy, "lzc_destroy");
    library.find(snapshot, "lzc_snapshot");
    library.find(destroy_snaps, "lzc_destroy_snaps");
    library.find(sync, "lzc_sync");
    library.find(list_alloc, "nvlist_alloc");
    library.find(list_free, "nvlist_free");
    library.find(add_number, "nvlist_add_uint64");
    library.find(add_text, "nvlist_add_string");
    library.find(add_name, "nvlist_add_boolean");
    library.find(add_flag, "nvlist_add_boolean_value");
  }
};

// An nvlist: the arguments that the library takes, and the errors by name that it gives back.
class CoreLibrary::List {
 public:
  explicit List(const Symbols& symbols) : symbols_(symbols) { check(symbols.list_alloc(&list_, unique_names, 0)); }
  List(const Symbols& symbols, const Properties& properties) : List(symbols) {
    for (const auto& [name, value] : properties.numbers) check(symbols_.add_number(list_, name.c_str(), value));
    for (const auto& [name, value] : properties.texts) check(symbols_.add_text(list_, name.c_str(), value.c_str()));
  }
  List(const List&) = delete;
  List& operator=(const List&) = delete;
  ~List() { symbols_.list_free(list_); }

  void add(const std::string& name) { check(symbols_.add_name(list_, name.c_str())); }
  void add_flag(const char* name, bool value) { check(symbols_.add_flag(list_, name, value ? 1 : 0)); }
  nvlist* get() const { return list_; }

 private:
  static void check(int error_number) {
    if (error_number != 0) throw system_error(error_number, "cannot make a list for ZFS");
  }

  const Symbols& symbols_;
  nvlist* list_ = nullptr;
};

CoreLibrary::CoreLibrary() : symbols_(std::make_unique<Symbols>()) {
  symbols_->find_all(
      RuntimeLibrary("libzfs_core.so.3", "install ZFS: apt install zfsutils-linux (in Debian's contrib)"));
  int error_number = symbols_->init();
  if (error_number != 0) {
    load_module();
    error_number = symbols_->init();
  }
  if (error_number == EACCES || error_number == EPERM)
    throw Error(ErrorCode::not_allowed, "/dev/zfs may not be opened", "let everybody open it: chmod 666 /dev/zfs");
  if (error_number != 0)
    throw Error(ErrorCode::not_available, "ZFS cannot be used: its kernel module is not loaded",
                "see why: modprobe zfs (install zfs-dkms for this kernel)");
}

CoreLibrary::~CoreLibrary() {
  symbols_->fini();
}

bool CoreLibrary::exists(const std::string& name) const {
  return symbols_->exists(name.c_str()) != 0;
}

void CoreLibrary::create(const std::string& dataset, const Properties& properties) const {
  const List list(*symbols_, properties);
  const int error_number = symbols_->create(dataset.c_str(), file_system_dataset, list.get(), nullptr, 0);
  if (error_number != 0) throw zfs_error(error_number, fmt::format("cannot create dataset {}", dataset));
}

void CoreLibrary::snapshot(const std::string& snapshot) const {
  List list(*symbols_);
  list.add(snapshot);
  nvlist* errors = nullptr;
  const int error_number = symbols_->snapshot(list.get(), nullptr, &errors);
  symbols_->list_free(errors);
  if (error_number != 0) throw zfs_error(error_number, fmt::format("cannot take snapshot {}", snapshot));
}

void CoreLibrary::clone(const std::string& snapshot, const std::string& dataset, const Properties& properties) const {
  const List list(*symbols_, properties);
  const int error_number = symbols_->clone(dataset.c_str(), snapshot.c_str(), list.get());
  if (error_number != 0) throw zfs_error(error_number, fmt::format("cannot clone {} into {}", snapshot, dataset));
}

void CoreLibrary::promote(const std::string& clone) const {
  std::array<char, longest_name> taken_name{};
  const int error_number = symbols_->promote(clone.c_str(), taken_name.data(), static_cast<int>(taken_name.size() - 1));
  if (error_number == 0) return;
  if (error_number == EEXIST)
    throw Error(ErrorCode::conflict,
                fmt::format("cannot promote {}: it has a snapshot {} of its own, and would get another", clone,
                            taken_name.data()),
                fmt::format("rename or destroy the one that was made by hand: zfs rename {0}@{1} {0}@{1}-kept", clone,
                            taken_name.data()));
  throw zfs_error(error_number, fmt::format("cannot promote {}", clone));
}

void CoreLibrary::destroy(const std::string& dataset) const {
  const int error_number = symbols_->destroy(dataset.c_str());
  if (error_number != 0) throw zfs_error(error_number, fmt::format("cannot destroy dataset {}", dataset));
}

void CoreLibrary::destroy_snapshot(const std::string& snapshot) const {
  List list(*symbols_);
  list.add(snapshot);
  nvlist* errors = nullptr;
  constexpr int when_unused = 1;
  const int error_number = symbols_->destroy_snaps(list.get(), when_unused, &errors);
  symbols_->list_free(errors);
  if (error_number != 0) throw zfs_error(error_number, fmt::format("cannot destroy snapshot {}", snapshot));
}

void CoreLibrary::sync(const std::string& dataset) const {
  List options(*symbols_);
  options.add_flag("force", false);  // to end a group that holds nothing
  nvlist* nothing = nullptr;
  const int error_number = symbols_->sync(zpool_of(dataset).c_str(), options.get(), &nothing);
  if (error_number != 0) throw zfs_error(error_number, fmt::format("cannot sync zpool {}", zpool_of(dataset)));
}

}  // namespace pgtwig::storage::zfs
