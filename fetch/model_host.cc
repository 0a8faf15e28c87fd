#include "fetch/model_host.h"

#include <curl/curl.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "base/nearest_name.h"

namespace fulmen {
namespace {

constexpr size_t kLongestAnswer = size_t{32} << 20;  // a page has a thousand files
constexpr size_t kMostFiles = 200'000;
constexpr int kMostPages = 1000;
constexpr const char* kTokenPlaces = "HF_TOKEN or a file for --token-file";

// Whether an address has only what we want of it: no user, no query.
bool IsPlainEndpoint(const std::string& url) {
  const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> parsed(curl_url(), curl_url_cleanup);
  if (curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK) return false;
  const auto has = [&](CURLUPart part) {
    char* text = nullptr;
    const bool found = curl_url_get(parsed.get(), part, &text, 0) == CURLUE_OK;
    curl_free(text);
    return found;
  };
  return has(CURLUPART_HOST) && !has(CURLUPART_USER) && !has(CURLUPART_PASSWORD) &&
         !has(CURLUPART_QUERY) && !has(CURLUPART_FRAGMENT);
}

Status CheckToken(const std::string& token) {
  constexpr size_t kLongest = 4096;
  const bool plain = std::ranges::all_of(token, [](char c) { return c > ' ' && c < '\x7F'; });
  if (plain && token.size() <= kLongest) return {};
  return Fail(ErrorCode::kInvalidArgument,
              "the token ({}) should be one word of at most {} printable characters", kTokenPlaces,
              kLongest);
}

}  // namespace

std::string UrlEncoded(std::string_view text) {
  constexpr std::string_view kPlain =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
  std::string encoded;
  for (const char c : text) {
    if (kPlain.find(c) != std::string_view::npos) {
      encoded += c;
    } else {
      encoded += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return encoded;
}

ModelHost::ModelHost(std::string endpoint, std::string token, const TransferOptions& options)
    : endpoint_(std::move(endpoint)),
      token_(std::move(token)),
      connection_(std::make_unique<HostConnection>(options)) {}

Result<ModelHost> ModelHost::At(std::string endpoint, std::string token,
                                const TransferOptions& options) {
  const bool known = endpoint.starts_with("https://") || endpoint.starts_with("http://");
  if (!known || !IsPlainEndpoint(endpoint)) {
    return Fail(ErrorCode::kInvalidArgument,
                "HF_ENDPOINT should be the address of a host, as in https://huggingface.co, found "
                "\"{}\"",
                endpoint);
  }
  while (endpoint.ends_with('/')) endpoint.pop_back();
  FULMEN_TRY(CheckToken(token));
  return ModelHost(std::move(endpoint), std::move(token), options);
}

GetRequest ModelHost::RequestFor(const ModelReference& model, const std::string& commit,
                                 const std::string& path) const {
  std::string url = fmt::format("{}/{}/resolve/{}", endpoint_, model.model(), commit);
  std::string_view rest = path;
  while (true) {
    const size_t slash = std::min(rest.find('/'), rest.size());
    url += '/';
    url += UrlEncoded(rest.substr(0, slash));
    if (slash == rest.size()) break;
    rest.remove_prefix(slash + 1);
  }
  return {.url = std::move(url), .token = token_};
}

Result<std::string> ModelHost::FindCommit(const ModelReference& model,
                                          const std::string& revision) {
  const std::string url =
      fmt::format("{}/api/models/{}/revision/{}", endpoint_, model.model(), UrlEncoded(revision));
  const auto answer = connection_->GetText({.url = url, .token = token_}, kLongestAnswer);
  if (answer) return ParseCommit(answer->second, url);
  const GetFailure& failure = answer.error();
  if (failure.response.error_code == "RevisionNotFound") {
    return Fail(ErrorCode::kNotFound, "{} has no revision \"{}\" at {}", model.model(), revision,
                endpoint_);
  }
  return tl::unexpected(ExplainMissing(model, failure));
}

Result<std::vector<RemoteFile>> ModelHost::ListFiles(const ModelReference& model,
                                                     const std::string& commit) {
  const std::string address =
      fmt::format("{}/api/models/{}/tree/{}", endpoint_, model.model(), commit);
  std::vector<RemoteFile> files;
  std::string query = "recursive=true";
  for (int page = 0; page < kMostPages && files.size() <= kMostFiles; ++page) {
    const auto answer = connection_->GetText(
        {.url = fmt::format("{}?{}", address, query), .token = token_}, kLongestAnswer);
    if (!answer) return tl::unexpected(Explain(model, model.model(), answer.error()));
    FULMEN_TRY(ParseTreePage(answer->second, address, files));
    query = NextPageQuery(answer->first.link);
    if (query.empty()) return files;
  }
  return Fail(ErrorCode::kCorrupt, "{}: at most {} files in {} pages are expected, found more",
              address, kMostFiles, kMostPages);
}

Error ModelHost::Explain(const ModelReference& model, const std::string& what,
                         const GetFailure& failure) const {
  const int status = failure.response.status;
  const std::string& code = failure.response.error_code;
  const auto sentence = [](ErrorCode kind, std::string message) {
    return Error{kind, std::move(message)};
  };
  // Of the disk: its message names the file.
  if (failure.error.code == ErrorCode::kIo) return failure.error;
  if (failure.error.code == ErrorCode::kCancelled) return failure.error;
  if (code == "GatedRepo") {
    return sentence(
        ErrorCode::kUnavailable,
        fmt::format("{0} is gated: accept its terms at {1}/{0}, and {2}", model.model(), endpoint_,
                    token_.empty()
                        ? fmt::format("put a token of that account into {}", kTokenPlaces)
                        : "use a token of the account that did (this one has no access)"));
  }
  const bool may_be_private = status == 401 && token_.empty();
  if (status == 404 || code == "RepoNotFound" || may_be_private) {
    const std::string missing = code == "EntryNotFound" || what != model.model()
                                    ? fmt::format("{} has no file {}", model.model(), what)
                                    : fmt::format("there is no model {} at {}", what, endpoint_);
    return sentence(ErrorCode::kNotFound,
                    token_.empty()
                        ? fmt::format("{}, or it takes a token in {}", missing, kTokenPlaces)
                        : missing);
  }
  if (status == 401) {
    return sentence(ErrorCode::kUnavailable,
                    fmt::format("{} does not accept the token of {}", endpoint_, kTokenPlaces));
  }
  if (status == 403) {
    return sentence(ErrorCode::kUnavailable,
                    fmt::format("{} refuses access to {}: the token ({}) should be one that may "
                                "read it",
                                endpoint_, what, kTokenPlaces));
  }
  if (failure.unreachable) {
    return sentence(ErrorCode::kUnavailable,
                    fmt::format("cannot reach {} (is there a network?): {}", OriginOf(endpoint_),
                                failure.error.message));
  }
  if (failure.error.code == ErrorCode::kUnavailable) {
    return sentence(ErrorCode::kUnavailable, fmt::format("cannot fetch {} from {}: {}", what,
                                                         endpoint_, failure.error.message));
  }
  return sentence(failure.error.code, fmt::format("{}: {}", what, failure.error.message));
}

Error ModelHost::ExplainMissing(const ModelReference& model, const GetFailure& failure) {
  Error error = Explain(model, model.model(), failure);
  if (error.code != ErrorCode::kNotFound) return error;
  const std::string url = fmt::format("{}/api/models?author={}&limit=1000", endpoint_, model.owner);
  const auto answer = connection_->GetText({.url = url, .token = token_}, kLongestAnswer);
  if (!answer) return error;
  const std::vector<std::string> names = ParseModelNames(answer->second);
  if (names.empty()) return error;
  const std::vector<std::string_view> known(names.begin(), names.end());
  const std::string_view nearest = NearestName(model.model(), known);
  if (MayMean(model.model(), nearest)) error.message += fmt::format("; did you mean {}?", nearest);
  return error;
}

}  // namespace fulmen
