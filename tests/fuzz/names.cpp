// The parsers that read what people and programs write: names, points, and branches at a moment.
#include "base/names.h"

#include <cstdlib>

#include "base/bytes.h"
#include "base/time.h"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);

  if (auto name = pgtwig::BranchName::parse(text)) {
    require(name->text() == text && size > 0 && size <= 200);
    require(text.find_first_of("@^~:?*[\\ ") == text.npos && text.find("..") == text.npos);
    // With a project before it, it reads back as itself.
    auto reference = pgtwig::parse_branch_reference("demo/" + name->text());
    require(reference && reference->project == "demo" && reference->branch_text == name->text());
  }
  if (auto name = pgtwig::ProjectName::parse(text)) require(pgtwig::BranchName::parse(name->text()).has_value());
  if (auto reference = pgtwig::parse_branch_reference(text)) require(!reference->branch_text.empty());
  if (auto point = pgtwig::parse_point(text)) {
    if (const auto* time = std::get_if<pgtwig::TimePoint>(&*point)) {
      auto again = pgtwig::parse_rfc3339(pgtwig::format_rfc3339(*time));
      require(again && *again == *time);
    }
    if (const auto* ago = std::get_if<pgtwig::Ago>(&*point)) require(ago->duration.count() > 0);
  }
  if (auto size_read = pgtwig::parse_bytes(text)) require(!pgtwig::format_bytes(*size_read).empty());
  pgtwig::nearest_names(text, {"main", "feature/new-api"});
  return 0;
}
