#include "train/shard_writer.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/file_io.h"
#include "base/json.h"
#include "formats/safetensors.h"

namespace fulmen {

ShardWriter::ShardWriter(std::string folder, int64_t shard_tokens, int64_t vocabulary,
                         std::string tokenizer)
    : folder_(std::move(folder)), shard_tokens_(shard_tokens) {
  info_.vocabulary = vocabulary;
  info_.tokenizer = std::move(tokenizer);
}

Status ShardWriter::Add(const Document& document) {
  FULMEN_CHECK(!document.tokens.empty(), "a document without tokens");
  if (static_cast<int64_t>(tokens_.size() + document.tokens.size()) > shard_tokens_) {
    FULMEN_TRY(WriteShard());
  }
  tokens_.insert(tokens_.end(), document.tokens.begin(), document.tokens.end());
  starts_.push_back(static_cast<int64_t>(tokens_.size()));
  if (document.loss_mask.empty()) {
    loss_mask_.resize(tokens_.size(), 1);
  } else {
    loss_mask_.insert(loss_mask_.end(), document.loss_mask.begin(), document.loss_mask.end());
  }
  FULMEN_CHECK(loss_mask_.size() == tokens_.size(), "{} flags for {} tokens", loss_mask_.size(),
               tokens_.size());
  return {};
}

Status ShardWriter::WriteShard() {
  if (tokens_.empty()) return {};
  const auto in_loss = std::count(loss_mask_.begin(), loss_mask_.end(), 1);
  const auto tokens = static_cast<int64_t>(tokens_.size());
  const auto borders = static_cast<int64_t>(starts_.size());
  // The widest type first, so that all lie at addresses their types can be read from.
  std::vector<SafetensorsWriter::Declaration> tensors = {{"starts", DType::kI64, {borders}},
                                                         {"tokens", DType::kI32, {tokens}}};
  if (in_loss < tokens) tensors.push_back({"learnt", DType::kU8, {tokens}});
  FULMEN_ASSIGN(SafetensorsWriter file,
                SafetensorsWriter::Create(folder_ + "/" + ShardName(info_.shards), tensors));
  FULMEN_TRY(file.Write(std::as_bytes(std::span(starts_))));
  FULMEN_TRY(file.Write(std::as_bytes(std::span(tokens_))));
  if (in_loss < tokens) FULMEN_TRY(file.Write(std::as_bytes(std::span(loss_mask_))));
  FULMEN_TRY(file.Finish());
  info_.shards += 1;
  info_.documents += borders - 1;
  info_.tokens += tokens;
  info_.loss_tokens += in_loss;
  tokens_.clear();
  starts_.resize(1);
  loss_mask_.clear();
  return {};
}

Status ShardWriter::Finish(std::optional<ChatFormat> chat_format) {
  FULMEN_TRY(WriteShard());
  info_.chat_format = chat_format;
  Json json = {{"documents", info_.documents},       {"tokens", info_.tokens},
               {"learnt_tokens", info_.loss_tokens}, {"vocabulary", info_.vocabulary},
               {"tokenizer", info_.tokenizer},       {"shards", info_.shards}};
  if (chat_format) json["chat_format"] = ChatFormatName(*chat_format);
  return WriteFileAtomically(folder_ + "/" + kDatasetInfoName, json.dump(1) + "\n");
}

}  // namespace fulmen
