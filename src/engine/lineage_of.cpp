#include "engine/lineage_of.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/fs.h"
#include "base/log.h"
#include "engine/archiving.h"
#include "postgres/control_file.h"

namespace pgtwig::engine {
namespace {

// A chain is as long as there were forks of forks; a longer one is a damaged catalog.
constexpr std::size_t longest_chain = 10'000;

archive::RestorePoint restore_point(const catalog::SnapshotRecord& snapshot) {
  return {.volume = snapshot.id,
          .redo = snapshot.redo,
          .end = snapshot.end,
          .timeline = snapshot.timeline,
          .next_xid = snapshot.next_xid,
          .time = snapshot.created_at};
}

std::optional<std::string> why_unusable(const archive::LocalArchive& archive, const archive::ArchivedFile& file,
                                        const archive::Segment& segment, Bytes segment_size,
                                        std::uint64_t system_identifier) {
  if (file.bytes != segment_size) return "it is truncated";
  const UniqueFd fd = archive.open(file.name);
  const auto facts = archive::read_segment_facts(fd.get());
  if (!facts) return facts.error();
  if (facts->system_identifier != system_identifier) return "it is of another cluster";
  if (facts->timeline > segment.timeline || facts->segment_size != segment_size) return "its header is of another file";
  return std::nullopt;
}

// Of main's present body: all bodies of a project are of one cluster.
std::optional<postgres::ControlFile> control_file_of_main(Engine& engine, const catalog::ProjectRecord& project,
                                                          const OpenPool& pool) {
  const auto main = engine.catalog().find_branch(project.id, BranchName::main());
  if (!main) return std::nullopt;
  const auto data = pool.record.directory / main->incarnation.text() / "data";
  return postgres::read_control_file(open_directory(data).get());
}

}  // namespace

LineageReader::LineageReader(Engine& engine, const catalog::ProjectRecord& project)
    : engine_(engine), pool_(engine.pools().open(project.pool)), now_(engine.clock().now()) {
  if (const auto control = control_file_of_main(engine, project, *pool_)) {
    segment_size_ = control->wal_segment_size;
    system_identifier_ = control->system_identifier;
  }
}

std::optional<UniqueFd> LineageReader::data_directory(const IncarnationId& body) const {
  const auto data = pool_->record.directory / body.text() / "data";
  UniqueFd fd(::open(data.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return std::nullopt;
  return fd;
}

std::optional<archive::Lineage> LineageReader::lineage(const IncarnationId& body) {
  if (!engine_.catalog().find_incarnation(body)) return std::nullopt;
  archive::Lineage lineage{.links = {}, .segment_size = segment_size_};
  for (std::optional<IncarnationId> at = body; at && lineage.links.size() < longest_chain;) {
    const auto record = engine_.catalog().find_incarnation(*at);
    if (!record) break;
    lineage.links.push_back(wal(*at).link);
    at = record->source;
  }
  std::ranges::reverse(lineage.links);
  return lineage;
}

const BodyWal& LineageReader::wal(const IncarnationId& body) {
  if (const auto known = bodies_.find(body); known != bodies_.end()) return known->second;
  const auto record = engine_.catalog().find_incarnation(body);
  if (!record) throw Error(ErrorCode::not_found, fmt::format("there is no record of body {}", body.text()));
  BodyWal wal{.link = {.incarnation = body,
                       .timeline = record->timeline,
                       .own_from = record->own_from,
                       .source_time = record->source_time,
                       .began_at = record->began_at,
                       .ended_at = record->ended_at.value_or(now_),
                       .written_until = std::nullopt,
                       .restore_points = {},
                       .segments = {}},
              .files = {},
              .unusable = {}};
  for (const auto& snapshot : snapshots(record->branch)) {
    if (snapshot.incarnation == body) wal.link.restore_points.push_back(restore_point(snapshot));
  }
  // In this order: what is archived and removed meanwhile is in one of them.
  const std::vector<LiveSegment> live = live_segments_of(wal.link);
  add_archived(wal);
  add_live(wal, live);
  return bodies_.emplace(body, std::move(wal)).first->second;
}

void LineageReader::add_archived(BodyWal& wal) const {
  const archive::LocalArchive archive = archive_of(*pool_, wal.link.incarnation);
  if (!archive.exists()) return;
  wal.files = archive.list();
  for (const auto& file : wal.files) {
    const auto segment = archive::parse_segment_name(file.name, segment_size_);
    if (!segment) continue;
    try {
      if (const auto reason = why_unusable(archive, file, *segment, segment_size_, system_identifier_)) {
        wal.unusable.push_back({file.name, *reason});
        continue;
      }
    } catch (const Error&) {
      continue;  // removed meanwhile, to keep the limit
    }
    wal.link.segments.push_back({.segment = *segment, .completed_at = file.completed_at});
  }
}

std::vector<LiveSegment> LineageReader::live_segments_of(const archive::Link& link) const {
  const auto data = data_directory(link.incarnation);
  if (!data) return {};
  try {
    return live_segments(data->get(), link.timeline, segment_size_);
  } catch (const Error& error) {
    log::warn("the WAL of body {} cannot be read: {}", link.incarnation.text(), error.message());
    return {};
  }
}

void LineageReader::add_live(BodyWal& wal, const std::vector<LiveSegment>& live) const {
  std::set<archive::Segment> archived;
  for (const auto& segment : wal.link.segments) {
    if (segment.segment.timeline == wal.link.timeline) archived.insert(segment.segment);
  }
  for (const LiveSegment& segment : live) {
    if (archived.contains(segment.segment)) continue;
    wal.link.segments.push_back({.segment = segment.segment, .completed_at = segment.completed_at, .is_live = true});
  }
  if (!live.empty()) {
    wal.link.written_until = live.back().until;
  } else if (!archived.empty()) {
    // Its volume is gone, and all that was left in it is in the archive.
    const auto& last = *archived.rbegin();
    try {
      const UniqueFd file = archive_of(*pool_, wal.link.incarnation).open(archive::segment_name(last, segment_size_));
      const auto page = archive::find_last_page(file.get(), last, segment_size_);
      // The last one of a stopped body ends early, with its shutdown. Of one that is full the next is missing.
      if (page && *page) wal.link.written_until = **page;
    } catch (const Error&) {
      return;  // removed meanwhile
    }
  }
}

const std::vector<catalog::SnapshotRecord>& LineageReader::snapshots(const BranchId& branch) {
  const auto known = snapshots_.find(branch);
  if (known != snapshots_.end()) return known->second;
  return snapshots_.emplace(branch, engine_.catalog().snapshots(branch)).first->second;
}

namespace {

// The body that a branch had at a time, and before the branch was there the bodies that its first one was made of, each
// up to the moment at which the next continued it, as in archive::windows().
Moment moment_at(Engine& engine, const Body& branch, TimePoint time, std::string text) {
  const auto bodies = engine.catalog().incarnations(branch.branch.id);
  if (bodies.empty()) return {.body = branch.branch.incarnation, .target = time, .text = std::move(text)};
  const auto after = std::ranges::find_if(bodies, [&](const auto& body) { return body.began_at > time; });
  catalog::IncarnationRecord body = after == bodies.begin() ? bodies.front() : *std::prev(after);
  while (time <= body.source_time && body.source) {
    const auto source = engine.catalog().find_incarnation(*body.source);
    if (!source) break;
    body = *source;
  }
  return {.body = body.id, .target = time, .text = std::move(text)};
}

}  // namespace

Error cannot_recover(const std::string& branch, const std::string& text, const std::string& why) {
  return Error(ErrorCode::invalid_argument, fmt::format("{} cannot be recovered to {}: {}", branch, text, why),
               fmt::format("`pgtwig wal info {}` shows what can be", branch));
}

Moment moment_of(Engine& engine, const Body& branch, const Point& point) {
  const TimePoint now = engine.clock().now();
  const auto at = [&](TimePoint time) {
    const std::string text = format_rfc3339(time);
    if (time > now)
      throw cannot_recover(branch.name(), text, fmt::format("that is in the future, now is {}", format_rfc3339(now)));
    return moment_at(engine, branch, time, text);
  };
  const auto present = [&](archive::Target target, std::string text) {
    return Moment{.body = branch.branch.incarnation, .target = std::move(target), .text = std::move(text)};
  };
  if (const auto* time = std::get_if<TimePoint>(&point)) return at(*time);
  if (const auto* ago = std::get_if<Ago>(&point)) return at(now - ago->duration);
  if (const auto* lsn = std::get_if<Lsn>(&point)) return present(*lsn, format_lsn(*lsn));
  if (const auto* transaction = std::get_if<TransactionPoint>(&point)) {
    return present(archive::TransactionTarget{transaction->xid}, fmt::format("xid:{}", transaction->xid));
  }
  if (const auto* name = std::get_if<RestorePointName>(&point)) {
    return present(archive::NamedTarget{name->text}, fmt::format("restore-point:{}", name->text));
  }
  throw Error(ErrorCode::internal, "there is nothing to be replayed for this point");
}

std::vector<archive::Window> branch_windows(Engine& engine, LineageReader& reader, const BranchId& branch) {
  std::vector<archive::Window> windows;
  bool is_first = true;
  for (const auto& body : engine.catalog().incarnations(branch)) {
    const auto lineage = reader.lineage(body.id);
    for (archive::Window window : lineage ? archive::windows(*lineage) : std::vector<archive::Window>()) {
      // Of what belongs to another body this one's WAL may tell nothing, see moment_at(): what was before it was the
      // branch's, and of what it was made of the last moment.
      if (!is_first) window.from = std::max(window.from, body.began_at);
      const auto begins_window = [&](const archive::Link& link) { return link.source_time == window.from; };
      if (std::any_of(std::next(lineage->links.begin()), lineage->links.end(), begins_window)) ++window.from;
      if (body.ended_at) {
        window.to = std::min(window.to, *body.ended_at);
        window.is_open = false;
      }
      if (window.to < window.from) continue;
      if (!windows.empty() && window.from <= windows.back().to) {
        windows.back() = {.from = windows.back().from,
                          .to = window.to,
                          .from_lsn = windows.back().from_lsn,
                          .to_lsn = window.to_lsn,
                          .is_open = window.is_open};
      } else {
        windows.push_back(window);
      }
    }
    is_first = false;
  }
  return windows;
}

std::vector<WindowView> window_views(const std::vector<archive::Window>& windows) {
  std::vector<WindowView> views;
  for (const archive::Window& window : windows) {
    views.push_back({.from = window.from,
                     .to = window.to,
                     .from_lsn = format_lsn(window.from_lsn),
                     .to_lsn = format_lsn(window.to_lsn),
                     .is_open = window.is_open});
  }
  return views;
}

void add_history(Engine& engine, const Body& body, BranchView& view) {
  LineageReader reader(engine, body.project);
  const auto lineage = reader.lineage(body.branch.incarnation);
  if (!lineage) return;
  view.windows = window_views(branch_windows(engine, reader, body.branch.id));
  for (auto link = lineage->links.rbegin(); link != lineage->links.rend(); ++link) {
    const auto record = engine.catalog().find_incarnation(link->incarnation);
    if (!record) continue;
    const auto branch = engine.catalog().find_branch(record->branch);
    view.lineage.push_back({.branch = body.project.name.text() + "/" + (branch ? branch->name.text() : "(deleted)"),
                            .cause = record->cause,
                            .origin = record->origin.empty() ? std::nullopt : std::optional(record->origin),
                            .began_at = record->began_at});
  }
}

}  // namespace pgtwig::engine
