// Schemas of what administrators ask of the ledger (accounts/admin.h).
#include "serve/api_schemas.h"
#include "serve/schema_words.h"

namespace fulmen {

using namespace schema;  // NOLINT(google-build-using-namespace): a file of nothing but its words

namespace {

Json Whose() { return Said(Text(), "An organisation's name; else main"); }
Json DayText() { return Said(Text(), "A day of the organisation, as 2026-11-27"); }

// Of a request: numbers may come as text, as forms and queries have them.
Json Count() { return AnyOf({Integer(), Text()}); }

Json TypedLimits() {
  return Object({{"requests_per_minute?", Count()},
                 {"tokens_per_minute?", Count()},
                 {"concurrent?", Count()},
                 {"spend_per_day?", Ref("Money")}});
}

Json KeySchema() {
  return Object({{"id", Text()},
                 {"organisation", Text()},
                 {"name", Text()},
                 {"scope", Ref("Scope")},
                 {"created", OrNull(Ref("Time"))},
                 {"expires", OrNull(Ref("Time"))},
                 {"revoked", OrNull(Ref("Time"))},
                 {"requests_per_minute", Said(Integer(), "0: any number, as of all limits")},
                 {"tokens_per_minute", Integer()},
                 {"concurrent", Integer()},
                 {"spend_per_day", Ref("Money")}});
}

Json Tokens() {
  return Object({{"prompt_tokens", Integer()},
                 {"text_tokens", Integer()},
                 {"cached_tokens", Integer()},
                 {"image_tokens", Integer()},
                 {"output_tokens", Integer()},
                 {"reasoning_tokens", Integer()},
                 {"charge", Ref("Money")}});
}

Json Period() { return Object({{"from?", DayText()}, {"to?", Said(DayText(), "The last day")}}); }

Json OfWhom() { return Object({{"organisation?", Whose()}}); }

Json Prices() {
  return Object({{"model", Text()},
                 {"currency", Text()},
                 {"input", Ref("Money")},
                 {"cached", Ref("Money")},
                 {"image", Ref("Money")},
                 {"output", Ref("Money")}});
}

Json OrganisationSchemas() {
  return {
      {"Organisation", Object({{"name", Text()},
                               {"currency", Text()},
                               {"time_zone", Text()},
                               {"balance", Ref("Money")},
                               {"held", Said(Ref("Money"), "For requests under way")}})},
      {"OrganisationList", Listing(Ref("Organisation"))},
      {"NewOrganisation",
       Object({{"name", Text()}, {"currency?", Text()}, {"time_zone?", Text()}})},
      {"AddedOrganisation",
       Object({{"name", Text()}, {"currency", Text()}, {"time_zone", Text()}})},
      {"OfOrganisation", OfWhom()},
      {"Balance", Object({{"organisation", Text()},
                          {"balance", Ref("Money")},
                          {"held", Ref("Money")},
                          {"currency", Text()}})},
      {"Deposit",
       Object({{"reference", Text()}, {"amount", Ref("Money")}, {"at", OrNull(Ref("Time"))}})},
      {"DepositList", Listing(Ref("Deposit"))},
      {"NewDeposit", Joined(OfWhom(), Object({{"amount", Ref("Money")}, {"reference", Text()}}))},
      {"AddedDeposit", Object({{"added", Said(Flag(), "false: this reference was paid in before")},
                               {"reference", Text()},
                               {"balance", Ref("Money")},
                               {"currency", Text()}})},
  };
}

Json KeySchemas() {
  return {
      {"Scope", OneOf({"inference", "admin"})},
      {"Key", KeySchema()},
      {"KeyList", Listing(Ref("Key"))},
      {"NewKey", Joined(Joined(OfWhom(), Object({{"name", Text()},
                                                 {"scope?", Ref("Scope")},
                                                 {"expires?", Said(DayText(), "Its last day")}})),
                        TypedLimits())},
      {"MadeKey",
       Joined(KeySchema(), Object({{"secret", Said(Text(), "The key itself, shown this once")}}))},
      {"KeyLimits", TypedLimits()},
      {"RevokedKey", Object({{"id", Text()}, {"revoked", Flag()}})},
  };
}

Json UsageSchemas() {
  const Json by = OneOf({"day", "key", "model"});
  const Json group = Object({{"day?", Text()},
                             {"key?", Said(Text(), "The key's id")},
                             {"model?", Text()},
                             {"requests", Integer()}});
  const Json row = Object({{"request", Text()},
                           {"key", Text()},
                           {"model", Text()},
                           {"started", OrNull(Ref("Time"))},
                           {"ended", OrNull(Ref("Time"))},
                           {"outcome", Text()},
                           {"text_price", Said(Ref("Money"), "Prices of a row are for one token")},
                           {"cached_price", Ref("Money")},
                           {"image_price", Ref("Money")},
                           {"output_price", Ref("Money")}});
  return {
      {"UsageBy", by},
      {"UsageQuery", Joined(Joined(OfWhom(), Object({{"by?", Ref("UsageBy")}})), Period())},
      {"UsageLine", Said(Joined(group, Tokens()), "Of a day, a key or a model, as was asked")},
      {"UsageList",
       Joined(Listing(Ref("UsageLine")), Object({{"by", Ref("UsageBy")}, {"currency", Text()}}))},
      {"UsageRowQuery",
       Joined(Joined(OfWhom(), Period()),
              Object({{"limit?", Count()}, {"after?", Said(Text(), "A request's id")}}))},
      {"UsageRow", Joined(row, Tokens())},
      {"UsageRowList",
       Joined(Listing(Ref("UsageRow")), Object({{"currency", Text()}, {"has_more", Flag()}}))},
  };
}

Json PriceSchemas() {
  return {
      {"Prices", Said(Prices(), "Of a million tokens")},
      {"PricesList", Listing(Ref("Prices"))},
      {"NewPrices", Object({{"model", Text()},
                            {"currency?", Text()},
                            {"input", Ref("Money")},
                            {"cached?", Ref("Money")},
                            {"image?", Ref("Money")},
                            {"output", Ref("Money")}})},
      {"NewBackup", Object({{"name", Said(Text(), "Of the file, beside the ledger")}})},
      {"Backup", Object({{"name", Text()}})},
  };
}

}  // namespace

Json AdminSchemas() {
  Json all = OrganisationSchemas();
  all.update(KeySchemas());
  all.update(UsageSchemas());
  all.update(PriceSchemas());
  return all;
}

}  // namespace fulmen
