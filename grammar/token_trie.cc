#include "grammar/token_trie.h"

#include <algorithm>
#include <array>
#include <optional>

#include "base/check.h"
#include "base/utf8.h"

namespace fulmen {
namespace {

// The kinds of text that strings of schemas are most often made of, from narrow to wide. All of
// them stand for themselves in a JSON string.
std::array<CodePoints, 3> SliceCharacters() {
  return {CodePoints({{'a', 'z'}}), CodePoints({{'0', '9'}, {'A', 'Z'}, {'a', 'z'}}),
          CodePoints({{0, 0x1F}, {'"', '"'}, {'\\', '\\'}}).Complement()};
}

// Characters of a text that is made of these alone; nullopt for any other text.
std::optional<int64_t> CountIn(const CodePoints& characters, std::string_view text) {
  int64_t count = 0;
  const char* const end = text.data() + text.size();
  for (const char* at = text.data(); at < end; ++count) {
    const Utf8Char next = DecodeUtf8(at, end);
    if (next.kind != Utf8Char::Kind::kValid || !characters.Has(next.code)) return std::nullopt;
    at += next.bytes;
  }
  return count;
}

size_t CommonPrefix(std::string_view a, std::string_view b) {
  return static_cast<size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
}

// Depth first, the children of a node in rising order of their bytes. `sorted` names ids in the
// order of their bytes.
void BuildNodes(std::span<const int32_t> sorted, std::span<const std::string> bytes,
                TokenTrie::Slice& slice) {
  std::vector<uint32_t> path;  // nodes from the root to the last one
  std::string_view before;
  const auto close_to = [&](size_t depth) {
    for (; path.size() > depth; path.pop_back()) {
      slice.nodes[path.back()].end = static_cast<uint32_t>(slice.nodes.size());
    }
  };
  for (const int32_t id : sorted) {
    const std::string_view text = bytes[id];
    close_to(CommonPrefix(before, text));
    while (path.size() < text.size()) {
      path.push_back(static_cast<uint32_t>(slice.nodes.size()));
      slice.nodes.push_back(
          {0, -1, static_cast<uint16_t>(path.size()), static_cast<uint8_t>(text[path.size() - 1])});
    }
    TokenTrie::Node& node = slice.nodes[path.back()];
    if (node.token < 0) {
      node.token = static_cast<int32_t>(slice.tokens.size());
      slice.tokens.emplace_back();
    }
    slice.tokens[node.token].push_back(id);
    before = text;
  }
  close_to(0);
}

}  // namespace

void TokenTrie::AddSlice(CodePoints characters, const std::vector<int32_t>& ids) {
  Slice slice{.characters = std::move(characters)};
  std::vector<int32_t> sorted = ids;
  std::ranges::stable_sort(sorted, {}, [this](int32_t id) { return std::string_view(bytes_[id]); });
  BuildNodes(sorted, bytes_, slice);
  if (!slice.characters.ranges().empty()) {
    slice.up_to.emplace_back(mask_words());
    for (const int32_t id : ids) {
      const auto count = static_cast<size_t>(*CountIn(slice.characters, bytes_[id]));
      if (count >= slice.up_to.size()) slice.up_to.resize(count + 1, TokenMask(mask_words()));
      slice.up_to[count][id / 64] |= uint64_t{1} << (id % 64);
    }
    for (size_t count = 1; count < slice.up_to.size(); ++count) {
      for (size_t word = 0; word < mask_words(); ++word) {
        slice.up_to[count][word] |= slice.up_to[count - 1][word];
      }
    }
  }
  slices_.push_back(std::move(slice));
}

std::shared_ptr<const TokenTrie> TokenTrie::Build(const Tokenizer& tokenizer) {
  auto trie = std::make_shared<TokenTrie>();
  trie->bytes_.resize(static_cast<size_t>(tokenizer.vocab_size()));
  const auto kinds = SliceCharacters();
  std::array<std::vector<int32_t>, kinds.size() + 1> ids;
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    const std::string_view bytes = tokenizer.TokenBytes(id).value_or("");
    if (bytes.empty() || tokenizer.IsSpecial(id)) continue;
    FULMEN_CHECK(bytes.size() <= UINT16_MAX, "token {} has {} bytes", id, bytes.size());
    trie->bytes_[id] = bytes;
    trie->longest_token_ = std::max(trie->longest_token_, bytes.size());
    const auto kind = std::ranges::find_if(kinds, [&](const CodePoints& characters) {
      return CountIn(characters, bytes).has_value();
    });
    ids[kind - kinds.begin()].push_back(id);
  }
  for (size_t kind = 0; kind < ids.size(); ++kind) {
    trie->AddSlice(kind < kinds.size() ? kinds[kind] : CodePoints(), ids[kind]);
  }
  return trie;
}

std::string_view TokenTrie::BytesOf(int32_t id) const {
  if (id < 0 || id >= vocab_size()) return "";
  return bytes_[id];
}

}  // namespace fulmen
