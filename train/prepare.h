// From text to token shards: what `fulmen train data` does.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "model/config.h"
#include "tokenizer/tokenizer.h"
#include "train/dataset.h"
#include "train/documents.h"

namespace fulmen {

struct PrepareOptions {
  std::vector<std::string> files;  // see FindInputFiles
  std::string out;                 // a folder that is not there yet; its parents are made as needed
  // The folder of the tokenizer; with a config.json beside it, no id may reach its vocab_size.
  std::string model;
  // The model the data are for, where it is not that of `model`: it says how images are cut, and no
  // id may reach its vocab_size.
  std::optional<Config> geometry = {};
  // Above 0: a byte-level BPE of so many tokens, bytes and special tokens among them, is trained on
  // the documents and written to `out`, in place of `model`. Chats have the text-01 format unless
  // documents.chat says otherwise; without chats and without documents.chat the tokenizer has no
  // chat template.
  int64_t train_vocabulary = 0;
  std::vector<std::string> special;  // besides FamilySpecialTokens()
  // documents.chat: without it, what the tokenizer says. Given, it is stated in the dataset even
  // where there is no chat, so that a model trained on it gets the template.
  DocumentOptions documents;
  int64_t shard_tokens = int64_t{64} << 20;
  // The share of documents set apart, from 0 to below 1, chosen by text and pixels: `out` then
  // holds the two datasets train and held-out. 0: `out` is the dataset.
  double held_out = 0;
  bool end =
      true;  // close documents, but for chats, with the end-of-sentence token, if there is one
};

struct PrepareReport {
  DatasetInfo train;
  std::optional<DatasetInfo> held_out;
  int64_t text_bytes = 0;       // of all documents, as they were tokenised
  int64_t empty_documents = 0;  // left out
  int64_t text_documents = 0;   // those cut from text files
};

// The result does not depend on the number of threads. `progress` is told the bytes of input done
// (all are read twice when a tokenizer is trained) and may return false to cancel. On failure
// nothing is left behind; `out` appears whole.
Result<PrepareReport> PrepareData(const PrepareOptions& options, ThreadPool& pool,
                                  const std::function<bool(int64_t)>& progress);

// Equal for tokenizers with the same tokens under the same ids.
std::string TokenizerFingerprint(const Tokenizer& tokenizer);

}  // namespace fulmen
