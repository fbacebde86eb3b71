#include "tests/unit/archive/lineage_model.h"

#include <algorithm>

namespace pgtwig::archive::support {

namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr std::size_t most_bodies = 7;

std::uint64_t number_of(Lsn lsn) {
  return segment_of(lsn, model_segment_size);
}

}  // namespace

LineageModel::LineageModel(std::uint32_t seed, int events) : random_(seed) {
  ModelBody first{.id = IncarnationId::random(), .began_at = now_};
  first.own_from = first.redo = first.written = Lsn{3 * model_segment_size.count + 40};
  bodies_.push_back(first);
  for (int event = 0; event < events; ++event) step();
}

void LineageModel::step() {
  now_ += milliseconds(pick(1, 20'000));
  const auto chosen = static_cast<std::size_t>(pick(0, static_cast<int>(bodies_.size()) - 1));
  const bool lives = !bodies_[chosen].ended_at;
  const int what = pick(0, 99);
  if (what < 60) {
    if (lives) write(bodies_[chosen]);
  } else if (what < 72) {
    if (lives) snapshot(bodies_[chosen]);
  } else if (what < 80) {
    if (lives) bodies_[chosen].redo = bodies_[chosen].written;
  } else if (what < 84) {
    const ModelBody& body = bodies_[chosen];
    if (!body.completed.empty()) {
      auto segment = body.completed.begin();
      std::advance(segment, pick(0, static_cast<int>(body.completed.size()) - 1));
      bodies_[chosen].lost.insert(segment->first);
    }
  } else if (what < 86) {
    if (lives && bodies_.size() > 1) {
      bodies_[chosen].ended_at = now_;
      bodies_[chosen].end_is_known = pick(0, 2) != 0;
    }
  } else if (bodies_.size() < most_bodies) {
    if (what < 91 && lives) fork(chosen);
    if (what >= 91 && what < 95) fork_from_point(chosen);
    if (what >= 95) recover(chosen);
  }
}

void LineageModel::write(ModelBody& body) {
  const auto size = static_cast<std::uint64_t>(pick(0, 9) == 0 ? pick(1'000'000, 2'500'000) : pick(100, 400'000));
  const Lsn end{body.written.value + size};
  const bool commits = pick(0, 3) != 0;
  if (commits) body.history.push_back({next_commit_++, now_, Lsn{end.value - std::min<std::uint64_t>(size, 100)}, end});
  for (std::uint64_t number = number_of(body.written); number < number_of(end); ++number) {
    // The last a moment after the commit that goes on behind it, those before it while the transaction still wrote.
    const auto behind = static_cast<int>(number_of(end) - number - 1);
    body.completed[number] = now_ + microseconds(behind == 0 ? 200 : -100 * behind);
  }
  body.written = end;
}

void LineageModel::snapshot(ModelBody& body) {
  if (pick(0, 1) == 0) body.redo = body.written;
  const RestorePoint point{.volume = IncarnationId::random(),
                           .redo = body.redo,
                           .end = body.written,
                           .timeline = body.timeline,
                           .next_xid = static_cast<std::uint64_t>(next_commit_),
                           .time = now_ + microseconds(300)};
  body.points.push_back({point, body.history.size()});
}

void LineageModel::fork(std::size_t source) {
  ModelBody child = bodies_[source];
  if (pick(0, 1) == 0) child.redo = child.written;
  child.id = IncarnationId::random();
  child.source = source;
  child.own_from = child.redo;
  child.source_time = now_;
  child.began_at = now_ + milliseconds(1);
  child.points.clear();
  child.lost.clear();
  std::erase_if(child.completed, [&](const auto& segment) { return segment.first < number_of(child.own_from); });
  bodies_.push_back(child);
}

void LineageModel::fork_from_point(std::size_t source) {
  const ModelBody& body = bodies_[source];
  if (body.points.empty()) return;
  const ModelPoint& made = body.points[static_cast<std::size_t>(pick(0, static_cast<int>(body.points.size()) - 1))];
  ModelBody child{.id = IncarnationId::random(),
                  .source = source,
                  .timeline = body.timeline,
                  .own_from = made.point.redo,
                  .source_time = made.point.time,
                  .began_at = now_,
                  .redo = made.point.redo,
                  .written = made.point.end};
  child.history.assign(body.history.begin(), body.history.begin() + static_cast<std::ptrdiff_t>(made.commits));
  // The segments that the snapshot's own pg_wal had, as they were when it was taken.
  for (const auto& [number, completed_at] : body.completed) {
    if (number >= number_of(child.own_from) && number < number_of(child.written))
      child.completed[number] = completed_at;
  }
  bodies_.push_back(child);
}

void LineageModel::recover(std::size_t source) {
  const ModelBody& body = bodies_[source];
  const TimePoint end = body.ended_at.value_or(now_);
  if (end <= body.began_at) return;
  const auto length = std::chrono::duration_cast<milliseconds>(end - body.began_at).count();
  TimePoint target = body.began_at + milliseconds(pick(0, static_cast<int>(length)));
  // To the position of a commit, which can be from before the body began: a fork has its source's WAL since the redo.
  const auto is_own = [&](const Commit& commit) { return commit.begin >= body.own_from; };
  const auto first_own = std::ranges::find_if(body.history, is_own);
  if (pick(0, 1) == 0 && first_own != body.history.end()) {
    target = first_own[pick(0, static_cast<int>(body.history.end() - first_own) - 1)].time;
  }
  Timeline newest = 0;
  for (const ModelBody& other : bodies_) newest = std::max(newest, other.timeline);
  ModelBody child{
      .id = IncarnationId::random(), .source = source, .timeline = newest + 1, .source_time = target, .began_at = now_};
  // Replay stops before the first later commit.
  child.written = body.written;
  for (const Commit& commit : body.history) {
    if (commit.time > target) {
      child.written = commit.begin;
      break;
    }
    child.history.push_back(commit);
  }
  child.own_from = child.redo = child.written;
  bodies_.push_back(child);
}

Link LineageModel::link_of(const ModelBody& body) const {
  Link link{.incarnation = body.id,
            .timeline = body.timeline,
            .own_from = body.own_from,
            .source_time = body.source_time,
            .began_at = body.began_at,
            .ended_at = body.ended_at.value_or(now_),
            .written_until = {},
            .restore_points = {},
            .segments = {}};
  if (body.end_is_known) link.written_until = body.written;
  for (const ModelPoint& made : body.points) link.restore_points.push_back(made.point);
  for (const auto& [number, completed_at] : body.completed) {
    if (!body.lost.contains(number)) link.segments.push_back({{body.timeline, number}, completed_at, false});
  }
  const bool is_live = !body.ended_at;
  link.segments.push_back({{body.timeline, number_of(body.written)}, std::nullopt, is_live});
  return link;
}

Lineage LineageModel::lineage(std::size_t index) const {
  Lineage lineage{.links = {}, .segment_size = model_segment_size};
  for (std::optional<std::size_t> next = index; next; next = bodies_[*next].source) {
    lineage.links.insert(lineage.links.begin(), link_of(bodies_[*next]));
  }
  return lineage;
}

std::vector<Lineage> LineageModel::all_lineages() const {
  std::vector<Lineage> lineages;
  for (std::size_t index = 0; index < bodies_.size(); ++index) lineages.push_back(lineage(index));
  return lineages;
}

const ModelBody& LineageModel::body(const IncarnationId& id) const {
  return *std::ranges::find(bodies_, id, &ModelBody::id);
}

std::set<TimePoint> LineageModel::moments() const {
  std::set<TimePoint> moments{now_, now_ + std::chrono::hours(1)};
  const auto add = [&](TimePoint time) {
    for (const int offset : {-1, 0, 1, 500}) moments.insert(time + microseconds(offset));
  };
  for (const ModelBody& body : bodies_) {
    add(body.began_at);
    add(body.source_time);
    if (body.ended_at) add(*body.ended_at);
    for (const Commit& commit : body.history) add(commit.time);
    for (const ModelPoint& made : body.points) add(made.point.time);
    for (const auto& [number, completed_at] : body.completed) add(completed_at);
  }
  return moments;
}

}  // namespace pgtwig::archive::support
