// What is known of the WAL archives: shown, verified, cleaned.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/fs.h"
#include "engine/archiving.h"
#include "engine/body.h"
#include "engine/lineage_of.h"
#include "engine/wal_retention.h"

namespace pgtwig::engine {
namespace {

// What the running instance was started with, which the configuration of its next start need not be.
std::optional<std::string> why_the_instance_does_not(Engine& engine, const Body& body) {
  if (!engine.instances().find(body)) return std::nullopt;
  try {
    const auto row = engine.instances()
                         .admin(body)
                         ->query("SELECT current_setting('archive_mode'), current_setting('archive_command')")
                         .at(0);
    const bool is_ours = row.at(1).value_or("").find(engine.helper().string()) != std::string::npos;
    if (row.at(0) != "off" && is_ours) return std::nullopt;
    return fmt::format("it was started without; `pgtwig restart {}` begins with it", body.name());
  } catch (const Error&) {
    return std::nullopt;  // it is on its way up or down
  }
}

void add_gaps(const archive::Lineage& lineage, const BodyWal& wal, WalView& view) {
  for (const archive::Gap& gap : archive::gaps(lineage)) {
    view.gaps.push_back({.from = archive::segment_name(gap.first, lineage.segment_size),
                         .to = archive::segment_name(gap.last, lineage.segment_size),
                         .reason = "missing"});
  }
  for (const auto& unusable : wal.unusable) {
    // Inside a gap, which then is not missing but this.
    std::erase_if(view.gaps, [&](const GapView& gap) { return gap.from == unusable.name && gap.to == unusable.name; });
    view.gaps.push_back({.from = unusable.name, .to = unusable.name, .reason = unusable.reason});
  }
  std::ranges::sort(view.gaps, {}, &GapView::from);
}

void add_present_gaps(LineageReader& reader, const Body& body, WalView& view) {
  const auto lineage = reader.lineage(body.branch.incarnation);
  if (lineage) add_gaps(*lineage, reader.wal(body.branch.incarnation), view);
}

// What lies in the archives of all bodies of a branch. By time, as a segment's name says nothing across bodies.
void add_archived(Engine& engine, LineageReader& reader, const BranchId& branch, WalView& view) {
  std::vector<archive::ArchivedFile> segments;
  for (const auto& record : engine.catalog().incarnations(branch)) {
    for (const auto& file : reader.wal(record.id).files) {
      view.bytes = view.bytes + file.bytes;
      if (archive::wal_file_kind(file.name) == archive::WalFileKind::segment) segments.push_back(file);
    }
  }
  view.segments = static_cast<int>(segments.size());
  if (segments.empty()) return;
  const auto [oldest, newest] = std::ranges::minmax_element(segments, {}, &archive::ArchivedFile::completed_at);
  view.oldest = oldest->name;
  view.newest = newest->name;
}

// Every page of every segment of one body.
class Verification {
 public:
  Verification(LineageReader& reader, WalVerifyView& view) : reader_(reader), view_(view) {}

  void check_body(const std::string& branch, const catalog::IncarnationRecord& record) {
    const BodyWal& wal = reader_.wal(record.id);
    const archive::LocalArchive archive = archive_of(reader_.pool(), record.id);
    for (const auto& file : wal.files) {
      const auto segment = archive::parse_segment_name(file.name, reader_.segment_size());
      if (segment) check_segment(branch, archive, file.name, *segment, is_last(wal, *segment) && record.ended_at);
    }
    const auto lineage = reader_.lineage(record.id);
    if (!lineage) return;
    for (const archive::Gap& gap : archive::gaps(*lineage)) add_gap(branch, gap, wal);
  }

 private:
  static bool is_last(const BodyWal& wal, const archive::Segment& segment) {
    return std::ranges::none_of(wal.link.segments, [&](const auto& other) { return other.segment > segment; });
  }

  void check_segment(const std::string& branch, const archive::LocalArchive& archive, const std::string& name,
                     const archive::Segment& segment, bool may_end_early) {
    ++view_.segments;
    try {
      const UniqueFd file = archive.open(name);
      archive::ExpectedSegment expected{.system_identifier = reader_.system_identifier(),
                                        .segment = segment,
                                        .segment_size = reader_.segment_size(),
                                        .until = std::nullopt};
      if (may_end_early) {
        if (const auto last = archive::find_last_page(file.get(), segment, reader_.segment_size())) {
          expected.until = *last;
        }
      }
      const auto checked = archive::check_segment(file.get(), expected);
      if (!checked) view_.problems.push_back({.branch = branch, .segment = name, .problem = checked.error()});
    } catch (const Error& error) {
      if (error.code() == ErrorCode::not_found) return;  // removed meanwhile, to keep the limit
      view_.problems.push_back({.branch = branch, .segment = name, .problem = error.message()});
    }
  }

  void add_gap(const std::string& branch, const archive::Gap& gap, const BodyWal& wal) {
    for (archive::Segment segment = gap.first; segment.number <= gap.last.number; ++segment.number) {
      const std::string name = archive::segment_name(segment, reader_.segment_size());
      const bool is_there = std::ranges::find(wal.unusable, name, &BodyWal::Unusable::name) != wal.unusable.end();
      if (!is_there) view_.problems.push_back({.branch = branch, .segment = name, .problem = "it is missing"});
    }
  }

  LineageReader& reader_;
  WalVerifyView& view_;
};

std::vector<std::pair<catalog::ProjectRecord, catalog::BranchRecord>> branches_of(
    Engine& engine, const std::optional<BranchPath>& path) {
  if (path) return {require_branch(engine, *path)};
  std::vector<std::pair<catalog::ProjectRecord, catalog::BranchRecord>> all;
  for (const auto& project : engine.catalog().projects()) {
    for (const auto& branch : engine.catalog().branches(project.id)) all.emplace_back(project, branch);
  }
  return all;
}

}  // namespace

WalView wal_info(Engine& engine, const BranchPath& path) {
  const Body body = require_body(engine, path);
  WalView view;
  view.branch = body.name();
  view.limit = engine.config().wal_limit;
  const auto why_not = why_not_archived(engine, body);
  const auto why_not_now = why_not ? std::nullopt : why_the_instance_does_not(engine, body);
  view.is_archiving = !why_not && !why_not_now;
  view.why_not = why_not ? *why_not : why_not_now.value_or("");
  LineageReader reader(engine, body.project);
  add_archived(engine, reader, body.branch.id, view);
  add_present_gaps(reader, body, view);
  view.windows = window_views(branch_windows(engine, reader, body.branch.id));
  return view;
}

WalVerifyView verify_wal(Engine& engine, const std::optional<BranchPath>& path) {
  WalVerifyView view;
  for (const auto& [project, branch] : branches_of(engine, path)) {
    LineageReader reader(engine, project);
    Verification verification(reader, view);
    for (const auto& record : engine.catalog().incarnations(branch.id)) {
      verification.check_body(project.name.text() + "/" + branch.name.text(), record);
    }
    if (!path) continue;
    view.windows = window_views(branch_windows(engine, reader, branch.id));
  }
  return view;
}

WalCleanupView clean_up_wal(Engine& engine, const CleanUpWal& request) {
  WalCleanupView view;
  view.is_dry_run = request.dry_run;
  std::set<ProjectId> done;
  for (const auto& [project, branch] : branches_of(engine, request.branch)) {
    if (!done.insert(project.id).second) continue;
    const WalRetention retention(engine, project);
    const auto plan = retention.plan(engine.clock().now() - request.older_than);
    retention.apply(plan, request.branch ? std::optional(branch.id) : std::nullopt, view);
  }
  return view;
}

}  // namespace pgtwig::engine
