// What changes datasets: libzfs_core, the committed interface of OpenZFS to its kernel module, opened at run time, so
// that nothing of pgtwig needs ZFS to be installed. Called by the ZFS driver and its pools.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace pgtwig::storage::zfs {

// Of a new dataset, as the kernel takes them: numbers (the value of an index property is its number on disk) and texts.
struct Properties {
  std::map<std::string, std::uint64_t> numbers;
  std::map<std::string, std::string> texts;
};

// Every call is one atomic change that is on disk when it returns (a "sync task" of a transaction group), and may be
// made from several threads at once. Throws Error as zfs_error() says.
class CoreLibrary {
 public:
  // Throws not_available when the library or the kernel module is missing.
  CoreLibrary();
  ~CoreLibrary();
  CoreLibrary(const CoreLibrary&) = delete;
  CoreLibrary& operator=(const CoreLibrary&) = delete;

  // A dataset or a snapshot.
  bool exists(const std::string& name) const;
  void create(const std::string& dataset, const Properties& properties) const;
  void snapshot(const std::string& snapshot) const;
  void clone(const std::string& snapshot, const std::string& dataset, const Properties& properties) const;
  // The clone becomes what its origin's dataset was: it takes over all snapshots up to that origin.
  void promote(const std::string& clone) const;
  // Unmounted, without snapshots or children. Its origin goes with it when that waits for nothing else.
  void destroy(const std::string& dataset) const;
  // Now, or when its last clone is gone.
  void destroy_snapshot(const std::string& snapshot) const;

  // Ends the transaction group of the dataset's zpool: all that was written so far is on disk, as it is and not as a
  // log to be replayed.
  void sync(const std::string& dataset) const;

 private:
  struct Symbols;
  class List;
  std::unique_ptr<Symbols> symbols_;
};

}  // namespace pgtwig::storage::zfs
