// A host of Hugging Face's shape: which files a model has, and where they are.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "fetch/host_connection.h"
#include "fetch/listing.h"
#include "fetch/model_reference.h"

namespace fulmen {

// Safe to share between threads but for what asks the host: one at a time.
class ModelHost {
 public:
  // `endpoint` is http:// or https://, a host and perhaps a path. `token` may be empty. The options
  // must outlive the host.
  static Result<ModelHost> At(std::string endpoint, std::string token,
                              const TransferOptions& options);

  // The commit a branch, a tag or a commit stands for.
  Result<std::string> FindCommit(const ModelReference& model, const std::string& revision);
  // All files at a commit.
  Result<std::vector<RemoteFile>> ListFiles(const ModelReference& model, const std::string& commit);

  const std::string& endpoint() const { return endpoint_; }
  // What to ask for a file at a commit.
  GetRequest RequestFor(const ModelReference& model, const std::string& commit,
                        const std::string& path) const;
  // A failure as a sentence about `what`, a file or the model.
  Error Explain(const ModelReference& model, const std::string& what,
                const GetFailure& failure) const;

 private:
  ModelHost(std::string endpoint, std::string token, const TransferOptions& options);

  Error ExplainMissing(const ModelReference& model, const GetFailure& failure);

  std::string endpoint_;  // without a slash at its end
  std::string token_;
  std::unique_ptr<HostConnection> connection_;
};

// `text` as a part of a path of an address.
std::string UrlEncoded(std::string_view text);

}  // namespace fulmen
