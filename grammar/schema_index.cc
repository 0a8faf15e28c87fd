#include "grammar/schema_index.h"

#include <fmt/format.h>

#include <optional>

namespace fulmen {
namespace {

// Among so many members finding one by looking at each takes too long.
constexpr size_t kLargeObject = 32;

// `reference` as seen from a document at `base`, in the way of RFC 3986 as far as names of schemas
// need it.
std::string ResolveUri(const std::string& base, const std::string& reference) {
  if (reference.find("://") != std::string::npos || reference.rfind("urn:", 0) == 0) {
    return reference;
  }
  const std::string document = base.substr(0, base.find('#'));
  if (reference.empty() || reference[0] == '#') return document + reference;
  const size_t host = document.find("://");
  if (reference[0] == '/') {
    const size_t path =
        host == std::string::npos ? std::string::npos : document.find('/', host + 3);
    return (host == std::string::npos ? "" : document.substr(0, path)) + reference;
  }
  const size_t last = document.rfind('/');
  if (last == std::string::npos || (host != std::string::npos && last < host + 3)) {
    return reference;
  }
  return document.substr(0, last + 1) + reference;
}

std::string WithoutEmptyFragment(std::string uri) {
  if (!uri.empty() && uri.back() == '#') uri.pop_back();
  return uri;
}

// What a fragment spells with percent signs.
std::string Unescaped(std::string_view text) {
  std::string plain;
  for (size_t at = 0; at < text.size(); ++at) {
    const auto hex = [&](size_t index) {
      const char digit = index < text.size() ? text[index] : ' ';
      if (digit >= '0' && digit <= '9') return digit - '0';
      if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
      if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
      return -1;
    };
    if (text[at] == '%' && hex(at + 1) >= 0 && hex(at + 2) >= 0) {
      plain.push_back(static_cast<char>(hex(at + 1) * 16 + hex(at + 2)));
      at += 2;
    } else {
      plain.push_back(text[at]);
    }
  }
  return plain;
}

std::string PointerEscaped(std::string_view name) {
  std::string escaped;
  for (const char letter : name) {
    escaped += letter == '~' ? "~0" : letter == '/' ? "~1" : std::string(1, letter);
  }
  return escaped;
}

// The path from `at` to `place`, if it leads there.
std::optional<std::string> PathTo(const Json& at, const Json& place) {
  if (&at == &place) return "";
  if (!at.is_structured()) return std::nullopt;
  for (const auto& [key, value] : at.items()) {
    if (const auto path = PathTo(value, place)) {
      return fmt::format("/{}{}", PointerEscaped(key), *path);
    }
  }
  return std::nullopt;
}

std::string StringOr(const Json& value, const char* otherwise) {
  return value.is_string() ? value.get<std::string>() : otherwise;
}

}  // namespace

SchemaIndex::SchemaIndex(const Json& root) : root_(root) {
  const std::string dialect = StringOr(Member(root, "$schema"), "");
  for (const char* old : {"draft-03", "draft-04", "draft-06", "draft-07"}) {
    if (dialect.find(old) != std::string::npos) ref_stands_alone_ = true;
  }
  Add(root, &root, "");
}

void SchemaIndex::Add(const Json& place, const Json* resource, const std::string& base) {
  if (place.is_array()) {
    for (const Json& item : place) Add(item, resource, base);
  }
  if (!place.is_object()) return;
  std::string here = base;
  const Json& id = place.contains("$id") ? place["$id"] : Member(place, "id");
  if (id.is_string() && !id.get<std::string>().empty()) {
    const auto name = id.get<std::string>();
    if (name[0] == '#') {
      named_.emplace(base + name, &place);  // how draft 4 spelled anchors
    } else {
      here = WithoutEmptyFragment(ResolveUri(base, name));
      resource = &place;
      named_.emplace(here, &place);
    }
  }
  for (const char* keyword : {"$anchor", "$dynamicAnchor"}) {
    const Json& anchor = Member(place, keyword);
    if (anchor.is_string()) named_.emplace(here + "#" + anchor.get<std::string>(), &place);
  }
  if (place.contains("$ref")) homes_[&place] = {resource, here};
  for (const auto& [key, value] : place.items()) {
    if (key != "enum" && key != "const" && key != "default" && key != "examples") {
      Add(value, resource, here);
    }
  }
}

const Json* SchemaIndex::MemberOf(const Json& object, const std::string& name) const {
  if (!object.is_object()) return nullptr;
  if (object.size() < kLargeObject) return object.contains(name) ? &object[name] : nullptr;
  const auto [members, is_new] = members_.try_emplace(&object);
  if (is_new) {
    for (const auto& [key, value] : object.items()) members->second.emplace(key, &value);
  }
  const auto found = members->second.find(name);
  return found == members->second.end() ? nullptr : found->second;
}

const Json* SchemaIndex::FollowPointer(const Json& place, std::string_view pointer) const {
  const Json* at = &place;
  while (!pointer.empty()) {
    const size_t end = std::min(pointer.find('/', 1), pointer.size());
    std::string name;
    for (size_t index = 1; index < end; ++index) {
      const bool tilde = pointer[index] == '~' && index + 1 < end;
      if (tilde) ++index;
      name.push_back(!tilde ? pointer[index] : pointer[index] == '1' ? '/' : '~');
    }
    pointer.remove_prefix(end);
    if (at->is_array()) {
      const bool digits = !name.empty() && name.size() < 10 &&
                          name.find_first_not_of("0123456789") == std::string::npos;
      if (!digits || std::stoul(name) >= at->size()) return nullptr;
      at = &(*at)[std::stoul(name)];
    } else {
      at = MemberOf(*at, name);
      if (at == nullptr) return nullptr;
    }
  }
  return at;
}

Result<const Json*> SchemaIndex::Resolve(const Json& schema, const std::string& reference) const {
  const auto home = homes_.find(&schema);
  const Json* resource = home == homes_.end() ? &root_ : home->second.resource;
  const std::string base = home == homes_.end() ? "" : home->second.base;
  const size_t hash = std::min(reference.find('#'), reference.size());
  const std::string document = reference.substr(0, hash);
  const std::string fragment =
      hash < reference.size() ? Unescaped(std::string_view(reference).substr(hash + 1)) : "";
  std::string absolute = base;
  if (!document.empty()) {
    absolute = ResolveUri(base, document);
    auto named = named_.find(absolute);
    if (named == named_.end()) named = named_.find(document);
    if (named == named_.end()) {
      return Fail(ErrorCode::kUnsupported,
                  "{}/$ref: \"{}\" is another document, and none is fetched", PathOf(schema),
                  reference);
    }
    resource = named->second;
    absolute = named->first;
  }
  const Json* target = resource;
  if (!fragment.empty() && fragment[0] == '/') {
    target = FollowPointer(*resource, fragment);
    if (target == nullptr && resource != &root_) target = FollowPointer(root_, fragment);
  } else if (!fragment.empty()) {
    const auto named = named_.find(fmt::format("{}#{}", absolute, fragment));
    target = named == named_.end() ? nullptr : named->second;
  }
  if (target == nullptr || (!target->is_object() && !target->is_boolean())) {
    return Fail(ErrorCode::kInvalidArgument, "{}/$ref: there is no schema \"{}\"", PathOf(schema),
                reference);
  }
  return target;
}

std::string SchemaIndex::PathOf(const Json& place) const {
  return fmt::format("#{}", PathTo(root_, place).value_or(""));
}

}  // namespace fulmen
