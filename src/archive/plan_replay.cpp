// Which restore point and which segments lead to a target.
#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "archive/lineage.h"
#include "archive/lineage_view.h"

namespace pgtwig::archive {

namespace {

// The end of WAL as the server tells it may be behind the header of a page that has no record yet.
constexpr std::uint64_t usual_page_size = 8192;
// At a gap, replay ends before the record that goes on behind it. Records can be longer than this, and hardly ever are.
constexpr std::uint64_t longest_usual_record = 1 << 20;

std::string outside(const std::string& target, const std::string& reachable) {
  if (reachable.empty()) return fmt::format("{} can't be recovered: there is no restore point yet", target);
  return fmt::format("{} is outside of what can be recovered, which is {}", target, reachable);
}

template <class Describe>
std::string describe(const std::vector<Window>& windows, Describe describe_window) {
  std::vector<std::string> texts;
  for (const Window& window : windows) texts.push_back(describe_window(window));
  return fmt::format("{}", fmt::join(texts, ", and "));
}

std::string describe_times(const std::vector<Window>& windows) {
  return describe(windows, [](const Window& window) {
    if (window.from == window.to) return format_rfc3339(window.from);
    return fmt::format("from {} to {}", format_rfc3339(window.from), format_rfc3339(window.to));
  });
}

std::string describe_lsns(const std::vector<Window>& windows) {
  return describe(windows, [](const Window& window) {
    if (window.from_lsn == window.to_lsn) return format_lsn(window.from_lsn);
    return fmt::format("from {} to {}", format_lsn(window.from_lsn), format_lsn(window.to_lsn));
  });
}

class Planner {
 public:
  explicit Planner(const Lineage& lineage)
      : lineage_(lineage), views_(all_views(lineage)), pieces_(all_pieces(lineage, views_)) {}

  std::expected<ReplayPlan, std::string> plan(TimePoint target) const {
    const Piece* best = nearest([&](const Piece& piece) { return piece.from <= target && target <= piece.to; });
    if (best == nullptr) return std::unexpected(out_of_reach(target, windows(lineage_)));
    ReplayPlan plan = plan_of(*best);
    plan.link = best->view->link();
    while (plan.link > 0 && lineage_.links[plan.link].source_time >= target) --plan.link;
    // Complete up to the target is what was written until then, and one segment more.
    const auto& segments = best->view->segments();
    for (std::size_t index = best->run.begin; index < best->run.end; ++index) {
      const auto completed_at = segments[index].available->completed_at;
      if (!completed_at || *completed_at < target) continue;
      plan.expected_end = end_lsn(segments[index].available->segment, lineage_.segment_size);
      set_needed(plan, *best, index - best->run.begin + 2);
      break;
    }
    return plan;
  }

  std::expected<ReplayPlan, std::string> plan(Lsn target) const {
    const Piece* best = nearest([&](const Piece& piece) { return piece.from_lsn <= target && target <= piece.to_lsn; });
    if (best == nullptr) return std::unexpected(outside(format_lsn(target), describe_lsns(windows(lineage_))));
    ReplayPlan plan = plan_of(*best);
    plan.link = std::min(link_at(lineage_, target), best->view->link());
    plan.expected_end = target;
    if (best->run.empty()) return plan;
    const std::uint64_t first = segment_of(plan.start.redo, lineage_.segment_size);
    // The last byte of what ends at the target.
    const std::uint64_t last = segment_of(Lsn{target.value - 1}, lineage_.segment_size);
    set_needed(plan, *best, last < first ? 1 : last - first + 1);
    plan.must_reach = std::min(plan.must_reach, without_page_header(target));
    return plan;
  }

  std::expected<ReplayPlan, std::string> plan(const TransactionTarget& target) const {
    const Piece* best = nearest(
        [&](const Piece& piece) { return is_whole_history(piece) && piece.start.point->next_xid <= target.xid; });
    if (best == nullptr) {
      return std::unexpected(
          fmt::format("transaction {} may have begun before the oldest restore point with its WAL", target.xid));
    }
    return plan_of(*best);
  }

  // The oldest restore point from which the newest WAL can be reached, since nobody knows where the name is.
  std::expected<ReplayPlan, std::string> plan(const NamedTarget& target) const {
    const Piece* best = nullptr;
    for (const Piece& piece : pieces_) {
      if (is_whole_history(piece) && (best == nullptr || piece.run.end > best->run.end)) best = &piece;
    }
    if (best == nullptr) {
      return std::unexpected(fmt::format("there is no restore point with its WAL in which '{}' could be", target.name));
    }
    return plan_of(*best);
  }

  std::expected<ReplayPlan, std::string> plan(const EndOfWal&) const {
    const Piece* best = nearest([](const Piece& piece) { return piece.is_open; });
    if (best == nullptr) return std::unexpected(outside("the end of its WAL", describe_times(windows(lineage_))));
    return plan_of(*best);
  }

 private:
  // Of those that fit, that with the newest restore point; for that one the latest link's own bytes.
  template <class Fits>
  const Piece* nearest(Fits fits) const {
    const auto rank = [](const Piece& piece) {
      return std::tuple(piece.start.point->time, piece.start.point->end, piece.view->link());
    };
    const Piece* best = nullptr;
    for (const Piece& piece : pieces_) {
      if (fits(piece) && (best == nullptr || rank(*best) < rank(piece))) best = &piece;
    }
    return best;
  }

  bool is_whole_history(const Piece& piece) const {
    return piece.view->link() + 1 == views_.size() && !piece.run.empty();
  }

  static Lsn without_page_header(Lsn lsn) {
    const std::uint64_t in_page = lsn.value % usual_page_size;
    return in_page <= longest_page_header ? Lsn{lsn.value - in_page} : lsn;
  }

  ReplayPlan plan_of(const Piece& piece) const {
    ReplayPlan plan{.start = *piece.start.point};
    for (std::size_t index = piece.run.begin; index < piece.run.end; ++index) {
      const ViewSegment& segment = piece.view->segments()[index];
      plan.segments.push_back(
          {lineage_.links[segment.link].incarnation, segment.available->segment, segment.available->is_live});
    }
    plan.link = piece.view->link();
    plan.timeline = lineage_.links[plan.link].timeline;
    plan.reaches_end = piece.view->reaches_end(piece.run);
    plan.expected_end = piece.run.empty() ? plan.start.end : piece.view->end_of(piece.run);
    set_needed(plan, piece, plan.segments.size());
    plan.histories = histories_of(piece.view->link());
    return plan;
  }

  void set_needed(ReplayPlan& plan, const Piece& piece, std::size_t needed) const {
    plan.needed = std::min(needed, plan.segments.size());
    plan.must_reach = plan.start.redo;
    if (plan.segments.empty()) return;
    const Lsn end = end_lsn(plan.segments[plan.needed - 1].segment, lineage_.segment_size);
    if (plan.needed < plan.segments.size()) {
      plan.must_reach = end;
    } else if (plan.reaches_end) {
      plan.must_reach = without_page_header(piece.view->end_of(piece.run));
    } else {
      plan.must_reach = Lsn{end.value - longest_usual_record};
    }
    plan.must_reach = std::max(plan.must_reach, plan.start.redo);
  }

  // One for each timeline but the first, from the link that began it.
  std::vector<PlannedHistory> histories_of(std::size_t last) const {
    std::vector<PlannedHistory> histories;
    for (std::size_t index = 0; index <= last; ++index) {
      const Link& link = lineage_.links[index];
      if (link.timeline == 1 || (index > 0 && link.timeline == lineage_.links[index - 1].timeline)) continue;
      histories.push_back({link.incarnation, link.timeline});
    }
    return histories;
  }

  const Lineage& lineage_;
  std::vector<View> views_;
  std::vector<Piece> pieces_;
};

}  // namespace

std::string out_of_reach(TimePoint time, const std::vector<Window>& windows) {
  return outside(format_rfc3339(time), describe_times(windows));
}

std::expected<ReplayPlan, std::string> plan_replay(const Lineage& lineage, const Target& target) {
  const Planner planner(lineage);
  return std::visit([&](const auto& kind) { return planner.plan(kind); }, target);
}

}  // namespace pgtwig::archive
