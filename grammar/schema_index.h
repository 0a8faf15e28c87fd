// Where things are in a schema document: what a reference names, and what a place is called.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/json.h"
#include "base/status.h"

namespace fulmen {

// Of one document, which must outlive it and stay where it is.
class SchemaIndex {
 public:
  explicit SchemaIndex(const Json& root);

  // The schema that `reference` in `schema` means: within the document, by pointer, anchor or id.
  Result<const Json*> Resolve(const Json& schema, const std::string& reference) const;
  // "#/properties/a"; "#" for what is not in the document.
  std::string PathOf(const Json& place) const;
  // Whether "$ref" makes its neighbours mean nothing, as it did before draft 2019-09.
  bool RefStandsAlone() const { return ref_stands_alone_; }

 private:
  // The place that a JSON pointer names in `place`; null where there is none.
  const Json* FollowPointer(const Json& place, std::string_view pointer) const;
  const Json* MemberOf(const Json& object, const std::string& name) const;
  void Add(const Json& place, const Json* resource, const std::string& base);

  const Json& root_;
  bool ref_stands_alone_ = false;
  std::map<std::string, const Json*, std::less<>> named_;  // by absolute id, with "#anchor"
  struct Home {
    const Json* resource;  // the nearest schema around it that has an id
    std::string base;      // that id
  };
  std::map<const Json*, Home> homes_;  // of objects that have a reference
  // Members by name, of the large objects into which references were followed.
  mutable std::map<const Json*, std::unordered_map<std::string, const Json*>> members_;
};

}  // namespace fulmen
