// A small world of bodies that write, are forked, recovered and ended, of which everything is known: what a plan
// promises can be compared with what it gives.
#pragma once

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <vector>

#include "archive/lineage.h"

namespace pgtwig::archive::support {

inline constexpr Bytes model_segment_size = 1_MiB;

// A record in WAL that commits a transaction: its bytes are [begin, end).
struct Commit {
  int id = 0;
  TimePoint time;
  Lsn begin;
  Lsn end;
};

struct ModelPoint {
  RestorePoint point;
  std::size_t commits = 0;  // how many of the body's history its files hold
};

struct ModelBody {
  IncarnationId id;
  std::optional<std::size_t> source = {};
  Timeline timeline = 1;
  Lsn own_from = {};
  TimePoint source_time = {};
  TimePoint began_at = {};
  std::optional<TimePoint> ended_at = {};
  Lsn redo = {};
  Lsn written = {};
  std::vector<Commit> history = {};                   // with what it has from its source
  std::map<std::uint64_t, TimePoint> completed = {};  // its own segments
  std::vector<ModelPoint> points = {};                // of this body
  std::set<std::uint64_t> lost = {};                  // segments that are nowhere any more
  bool end_is_known = true;
};

class LineageModel {
 public:
  LineageModel(std::uint32_t seed, int events);

  std::vector<Lineage> all_lineages() const;
  Lineage lineage(std::size_t body) const;
  const std::vector<ModelBody>& bodies() const { return bodies_; }
  const ModelBody& body(const IncarnationId& id) const;
  TimePoint now() const { return now_; }
  // Moments worth asking for: commits and what is just beside them, beginnings and ends.
  std::set<TimePoint> moments() const;

  // What a server shows that replays this plan and stops before the first commit that `is_later`. nullopt: the WAL
  // doesn't fit together. `reached` is where replay ended.
  template <class IsLater>
  std::optional<std::set<int>> replay(const ReplayPlan& plan, IsLater is_later, Lsn& reached) const;

 private:
  int pick(int from, int to) { return std::uniform_int_distribution<int>(from, to)(random_); }
  void step();
  void write(ModelBody& body);
  void snapshot(ModelBody& body);
  void fork(std::size_t source);
  void fork_from_point(std::size_t source);
  void recover(std::size_t source);
  Link link_of(const ModelBody& body) const;

  std::mt19937 random_;
  TimePoint now_{std::chrono::seconds(1'800'000'000)};
  int next_commit_ = 1;
  std::vector<ModelBody> bodies_;
};

template <class IsLater>
std::optional<std::set<int>> LineageModel::replay(const ReplayPlan& plan, IsLater is_later, Lsn& reached) const {
  std::set<int> shown;
  reached = plan.start.redo;
  for (const ModelBody& body : bodies_) {
    for (const ModelPoint& made : body.points) {
      if (made.point.volume != plan.start.volume) continue;
      for (std::size_t index = 0; index < made.commits; ++index) shown.insert(body.history[index].id);
      if (made.commits > 0) reached = std::max(reached, body.history[made.commits - 1].end);
    }
  }
  std::set<int> begun;  // records that go on in the next segment
  for (std::size_t index = 0; index < plan.segments.size(); ++index) {
    const PlannedSegment& planned = plan.segments[index];
    const Lsn first = first_lsn(planned.segment, model_segment_size);
    const Lsn end = end_lsn(planned.segment, model_segment_size);
    std::set<int> goes_on;
    for (const Commit& commit : body(planned.incarnation).history) {
      if (commit.end <= first || commit.begin >= end) continue;
      if (commit.end > end) goes_on.insert(commit.id);
      const bool is_known = shown.contains(commit.id);
      if (commit.begin < first && index > 0 && !begun.contains(commit.id)) return std::nullopt;
      if (commit.end > end || is_known) continue;
      // Its beginning was before the plan's first segment: then the restore point has it.
      if (commit.begin < first && index == 0) return std::nullopt;
      if (is_later(commit)) return shown;
      shown.insert(commit.id);
      reached = commit.end;
    }
    for (const int id : begun) {
      const auto& history = body(planned.incarnation).history;
      if (std::none_of(history.begin(), history.end(), [&](const Commit& commit) { return commit.id == id; })) {
        return std::nullopt;
      }
    }
    begun = goes_on;
  }
  return shown;
}

}  // namespace pgtwig::archive::support
