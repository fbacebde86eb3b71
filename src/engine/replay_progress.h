// How far a recovery has come, as events of its operation: by the segment that PostgreSQL asked for last.
#pragma once

#include <chrono>
#include <map>
#include <string>

#include "archive/lineage.h"
#include "archive/local_archive.h"
#include "engine/operation.h"

namespace pgtwig::engine {

class ReplayProgress {
 public:
  ReplayProgress(Operation& operation, const archive::Lineage& lineage, const archive::ReplayPlan& plan,
                 const archive::LocalArchive& archive);

  // Whether it has come further since the last look. Throws Error cancelled when the operation is to end.
  bool look();

 private:
  struct Place {
    std::size_t index;
    Lsn lsn;
    std::optional<TimePoint> time;  // of its last byte
  };
  std::string describe(const Place& place) const;

  Operation& operation_;
  std::filesystem::path restore_;
  Bytes segment_size_;
  std::size_t needed_;
  std::map<std::string, Place> places_;
  std::chrono::steady_clock::time_point began_;
  std::chrono::steady_clock::time_point told_{};
  std::string last_;
};

}  // namespace pgtwig::engine
