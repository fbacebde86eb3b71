#include "cli/render/table.h"

#include <algorithm>
#include <numeric>

#include "cli/render/style.h"

namespace pgtwig::cli {
namespace {

constexpr std::size_t gap = 2;             // columns between two columns
constexpr std::size_t narrowest_cell = 8;  // less says nothing

struct Layout {
  std::vector<std::size_t> shown;  // indices of columns, in their order
  std::vector<std::size_t> widths;
  std::size_t total() const {
    return std::accumulate(widths.begin(), widths.end(), widths.empty() ? 0 : gap * (widths.size() - 1));
  }
};

Layout natural_layout(const Table& table) {
  Layout layout;
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    std::size_t widest = 0;
    for (const auto& row : table.rows) widest = std::max(widest, display_width(row[i]));
    if (widest == 0 && !table.rows.empty()) continue;
    layout.shown.push_back(i);
    layout.widths.push_back(std::max(widest, display_width(table.columns[i].title)));
  }
  return layout;
}

void drop_columns(Layout& layout, const Table& table, std::size_t width) {
  int most = 0;
  for (const auto& column : table.columns) most = std::max(most, column.importance);
  for (int importance = 0; importance < most; ++importance) {
    for (std::size_t i = layout.shown.size(); i-- > 0;) {
      if (layout.total() <= width) return;
      if (table.columns[layout.shown[i]].importance != importance) continue;
      layout.shown.erase(layout.shown.begin() + static_cast<std::ptrdiff_t>(i));
      layout.widths.erase(layout.widths.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
}

void shrink_columns(Layout& layout, const Table& table, std::size_t width) {
  while (layout.total() > width) {
    std::size_t* widest = nullptr;
    for (std::size_t i = 0; i < layout.shown.size(); ++i)
      if (table.columns[layout.shown[i]].may_shrink && (widest == nullptr || layout.widths[i] > *widest))
        widest = &layout.widths[i];
    if (widest == nullptr || *widest <= narrowest_cell) return;
    --*widest;
  }
}

void append_line(std::string& text, const Layout& layout, const Table& table, const Terminal& terminal,
                 const std::vector<std::string>& cells, bool is_title) {
  std::string line;
  for (std::size_t i = 0; i < layout.shown.size(); ++i) {
    const Column& column = table.columns[layout.shown[i]];
    std::string cell = cut_to_width(terminal, cells[layout.shown[i]], layout.widths[i]);
    line += column.is_number ? pad_left(cell, layout.widths[i]) : pad_right(cell, layout.widths[i]);
    line += std::string(gap, ' ');
  }
  line.erase(line.find_last_not_of(' ') + 1);
  text += is_title ? paint(terminal, Paint::bold, line) : line;
  text += '\n';
}

}  // namespace

std::string render_table(const Table& given, const Terminal& terminal) {
  Table table = given;
  for (auto& row : table.rows)
    for (auto& cell : row) cell = without_control_characters(cell);
  Layout layout = natural_layout(table);
  if (terminal.is_terminal) {
    auto width = static_cast<std::size_t>(terminal.width);
    drop_columns(layout, table, width);
    shrink_columns(layout, table, width);
  }
  std::vector<std::string> titles;
  for (const auto& column : table.columns) titles.push_back(column.title);
  std::string text;
  append_line(text, layout, table, terminal, titles, true);
  for (const auto& row : table.rows) append_line(text, layout, table, terminal, row, false);
  return text;
}

std::string render_card(const std::vector<std::pair<std::string, std::string>>& facts, const Terminal& terminal) {
  std::size_t widest = 0;
  for (const auto& [title, value] : facts)
    if (!value.empty()) widest = std::max(widest, display_width(title));
  std::string text;
  for (const auto& [title, value] : facts) {
    if (value.empty()) continue;
    text += paint(terminal, Paint::bold, pad_right(title, widest)) + std::string(gap, ' ') +
            without_control_characters(value) + '\n';
  }
  return text;
}

}  // namespace pgtwig::cli
