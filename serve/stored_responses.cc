#include "serve/stored_responses.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "base/parse_number.h"
#include "base/printable.h"

namespace fulmen {
namespace {

tl::unexpected<ApiError> NoResponse(std::string_view id, std::string param) {
  return ApiFail(ApiErrorKind::kNotFound, std::move(param), "there is no response {}",
                 Printable(id));
}

// What the store gives, or why it does not.
template <class T>
ApiResult<T> Told(Result<T> result, std::string param = {}) {
  if (!result) return tl::unexpected<ApiError>(ToApiError(result.error(), std::move(param)));
  return *std::move(result);
}

ApiResult<StoredResponse> MustGet(ResponseStore& store, std::string_view space,
                                  std::string_view id) {
  FULMEN_API_ASSIGN(std::optional<StoredResponse> stored, Told(store.Get(space, id)));
  if (!stored) return NoResponse(id, "response_id");
  return *std::move(stored);
}

}  // namespace

ApiResult<ReferredItems> FindReferred(ResponseStore& store, std::string_view space,
                                      const ResponseReferences& references) {
  constexpr const char* kPrevious = "previous_response_id";
  ReferredItems referred;
  if (!references.previous.empty()) {
    FULMEN_API_ASSIGN(std::optional<Json> before,
                      Told(store.Conversation(space, references.previous), kPrevious));
    if (!before) return NoResponse(references.previous, kPrevious);
    referred.before = *std::move(before);
  }
  for (const std::string& id : references.items) {
    FULMEN_API_ASSIGN(std::optional<Json> item, Told(store.Item(space, id), "input"));
    if (item) referred.by_id.emplace(id, *std::move(item));
  }
  return referred;
}

ApiResult<void> StoreResponse(ResponseStore& store, std::string_view space,
                              const ResponsesCall& call) {
  Json response = call.Answer();
  const auto created = response.at("created_at").get<int64_t>();
  const Status put = store.Put(space, {.id = call.id(),
                                       .response = std::move(response),
                                       .input = call.input_items(),
                                       .previous = call.previous(),
                                       .created = created});
  if (!put) return tl::unexpected<ApiError>(ToApiError(put.error()));
  return {};
}

ApiResult<Json> GetResponse(ResponseStore& store, std::string_view space, std::string_view id) {
  FULMEN_API_ASSIGN(StoredResponse stored, MustGet(store, space, id));
  return std::move(stored.response);
}

ApiResult<Json> DeleteResponse(ResponseStore& store, std::string_view space, std::string_view id) {
  FULMEN_API_ASSIGN(const bool there, Told(store.Delete(space, id)));
  if (!there) return NoResponse(id, "response_id");
  return Json({{"id", id}, {"object", "response"}, {"deleted", true}});
}

ApiResult<Json> CancelResponse(ResponseStore& store, std::string_view space, std::string_view id) {
  FULMEN_API_TRY(MustGet(store, space, id));
  return ApiFail(ApiErrorKind::kInvalid, "response_id",
                 "only a response that runs in the background can be cancelled, and {} has ended",
                 Printable(id));
}

ApiResult<Json> ListInputItems(ResponseStore& store, std::string_view space, std::string_view id,
                               const InputItemsQuery& query) {
  constexpr int64_t kDefaultLimit = 20;
  constexpr int64_t kMostItems = 100;
  int64_t limit = kDefaultLimit;
  if (!query.limit.empty()) {
    const auto given = ParseNumber<int64_t>(query.limit, {1, kMostItems});
    if (!given) {
      return ApiFail(ApiErrorKind::kInvalid, "limit",
                     "expected a whole number from 1 to {}, found \"{}\"", kMostItems,
                     Printable(query.limit));
    }
    limit = *given;
  }
  if (!query.order.empty() && query.order != "asc" && query.order != "desc") {
    return ApiFail(ApiErrorKind::kInvalid, "order", "expected asc or desc, found \"{}\"",
                   Printable(query.order));
  }
  FULMEN_API_ASSIGN(StoredResponse stored, MustGet(store, space, id));
  auto& items = stored.input.get_ref<Json::array_t&>();
  if (query.order != "asc") std::ranges::reverse(items);
  auto begin = items.begin();
  if (!query.after.empty()) {
    begin = std::ranges::find_if(
        items, [&](const Json& item) { return Member(item, "id") == query.after; });
    if (begin == items.end()) {
      return ApiFail(ApiErrorKind::kInvalid, "after", "expected the id of an input item, found {}",
                     Printable(query.after));
    }
    ++begin;
  }
  const auto end = begin + std::min<int64_t>(limit, items.end() - begin);
  const bool has_more = end != items.end();
  Json page = Json::array();
  for (auto item = begin; item != end; ++item) page.push_back(std::move(*item));
  const Json first = page.empty() ? Json() : Member(page.front(), "id");
  const Json last = page.empty() ? Json() : Member(page.back(), "id");
  return Json({{"object", "list"},
               {"data", std::move(page)},
               {"first_id", first},
               {"last_id", last},
               {"has_more", has_more}});
}

}  // namespace fulmen
