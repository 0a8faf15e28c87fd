#include "train/model_folder.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <functional>
#include <utility>

#include "base/check.h"
#include "base/file_io.h"
#include "base/file_kind.h"
#include "base/temporaries.h"
#include "formats/checkpoint.h"
#include "formats/safetensors.h"
#include "model/weights.h"

namespace fulmen {
namespace {

namespace fs = std::filesystem;

constexpr const char* kOptimizerName = "optimizer.safetensors";
constexpr const char* kStateName = "trainer.json";
constexpr std::string_view kPrefix = "step-";
constexpr const char* kPartial = ".partial";

constexpr const char* kTokenizerConfigName = "tokenizer_config.json";
constexpr const char* kChatTemplateName = "chat_template.jinja";
constexpr std::array kTokenizerFiles = {
    "tokenizer.json",    kTokenizerConfigName,      "vocab.json",     "merges.txt",
    "added_tokens.json", "special_tokens_map.json", kChatTemplateName};

// Makes names in a folder durable, not only the bytes of its files.
Status SyncFolder(const std::string& folder) {
  const int file = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool synced = file >= 0 && fsync(file) == 0;
  const int error = errno;
  if (file >= 0) close(file);
  if (synced) return {};
  return Fail(ErrorCode::kIo, "cannot write {}: {}", folder, ErrnoMessage(error));
}

// What stood at `folder`, if anything, goes once `partial` has its place.
Status Replace(const std::string& partial, const std::string& folder) {
  const std::string former = folder + ".former";
  std::error_code error;
  fs::remove_all(former, error);
  if (fs::exists(folder, error)) fs::rename(folder, former, error);
  if (!error) fs::rename(partial, folder, error);
  if (error) {
    std::error_code ignored;
    fs::rename(former, folder, ignored);
    return Fail(ErrorCode::kIo, "cannot write {}: {}", folder, error.message());
  }
  fs::remove_all(former, error);
  return {};
}

// A folder whose removal was begun no longer has its name.
void RemoveFolder(const std::string& folder) {
  std::error_code error;  // one that stays costs nothing but room
  const Temporary partial(folder + kPartial);
  fs::remove_all(partial.path(), error);
  fs::rename(folder, partial.path(), error);
}

// Has `write` fill FOLDER.partial, and gives it its name when all is on the disk.
Status WriteFolder(const std::string& folder,
                   const std::function<Status(const std::string&)>& write) {
  Temporary partial(folder + kPartial);
  std::error_code error;
  fs::remove_all(partial.path(), error);
  fs::create_directories(partial.path(), error);
  if (error) return Fail(ErrorCode::kIo, "cannot write {}: {}", folder, error.message());
  FULMEN_TRY(write(partial.path()));
  FULMEN_TRY(SyncFolder(partial.path()));
  FULMEN_TRY(Replace(partial.path(), folder));
  partial.Keep();
  return SyncFolder(fs::absolute(folder).parent_path().string());
}

Status WriteTensor(std::span<const float> values, DType type, SafetensorsWriter& writer) {
  if (type == DType::kF32) return writer.Write(std::as_bytes(values));
  FULMEN_CHECK(type == DType::kBF16, "weights of type {}", DTypeName(type));
  std::vector<uint16_t> rounded(values.size());
  std::transform(values.begin(), values.end(), rounded.begin(), BF16FromF32);
  return writer.Write(std::as_bytes(std::span(rounded)));
}

// One file with each of `sets`, its tensors named PREFIX + name.
Status WriteParameters(const std::vector<std::pair<std::string, const Parameters*>>& sets,
                       DType type, const std::string& path) {
  std::vector<SafetensorsWriter::Declaration> declarations;
  for (const auto& [prefix, parameters] : sets) {
    for (size_t i = 0; i < parameters->size(); ++i) {
      const TensorInstance& tensor = parameters->tensor(i);
      declarations.push_back({prefix + tensor.name, type, tensor.shape});
    }
  }
  FULMEN_ASSIGN(SafetensorsWriter writer,
                SafetensorsWriter::Create(path, declarations, {{"format", "pt"}}));
  for (const auto& [prefix, parameters] : sets) {
    for (size_t i = 0; i < parameters->size(); ++i) {
      FULMEN_TRY(WriteTensor(parameters->values(i), type, writer));
    }
  }
  return writer.Finish();
}

Status FillModelFolder(const Config& config, const Parameters& weights, DType type,
                       const TokenizerFiles& tokenizer, const std::string& folder) {
  const Json json = ConfigToJson(config, type == DType::kF32 ? "float32" : "bfloat16");
  FULMEN_TRY(WriteFileAtomically(folder + "/config.json", json.dump(2) + "\n"));
  if (config.vision) {
    const Json preprocessor = PreprocessorConfigToJson(*config.vision);
    FULMEN_TRY(
        WriteFileAtomically(folder + "/preprocessor_config.json", preprocessor.dump(2) + "\n"));
  }
  for (const auto& [name, contents] : tokenizer) {
    FULMEN_TRY(WriteFileAtomically(fmt::format("{}/{}", folder, name), contents));
  }
  return WriteParameters({{"", &weights}}, type, folder + "/model.safetensors");
}

// Fills `parameters` from the tensors PREFIX + name of a file.
Status ReadParameters(const Checkpoint& file, const std::string& prefix, const std::string& where,
                      Parameters& parameters) {
  for (size_t i = 0; i < parameters.size(); ++i) {
    const TensorInstance& tensor = parameters.tensor(i);
    const auto found = file.tensors().find(prefix + tensor.name);
    if (found == file.tensors().end() || found->second.dtype != DType::kF32 ||
        found->second.shape != tensor.shape) {
      return Fail(ErrorCode::kCorrupt, "{}: expected a tensor {}{} of shape {} in F32", where,
                  prefix, tensor.name, ShapeString(tensor.shape));
    }
    const auto* data = reinterpret_cast<const float*>(found->second.data);
    std::copy_n(data, parameters.values(i).size(), parameters.values(i).begin());
  }
  return {};
}

}  // namespace

Result<TokenizerFiles> ReadTokenizerFiles(const std::string& folder) {
  TokenizerFiles files;
  std::error_code unreadable;
  if (!fs::is_directory(folder, unreadable)) {
    return Fail(ErrorCode::kUnsupported,
                "{}: the tokenizer of a trained model is copied from a folder, found {}; name one "
                "with the files of the same tokenizer in model.tokenizer",
                folder, PathKind(folder));
  }
  for (const char* name : kTokenizerFiles) {
    const std::string path = fmt::format("{}/{}", folder, name);
    std::error_code absent;
    if (!fs::exists(path, absent)) continue;
    FULMEN_ASSIGN(files[name], ReadFile(path));
  }
  return files;
}

Status SetChatTemplate(std::optional<ChatFormat> format, TokenizerFiles& files) {
  files.erase(kChatTemplateName);
  Json config = Json::object();
  if (const auto found = files.find(kTokenizerConfigName); found != files.end()) {
    FULMEN_ASSIGN(config, ParseJson(found->second, kTokenizerConfigName));
  }
  config.erase("chat_template");
  if (format) config["chat_template"] = ChatTemplate(*format);
  if (!config.empty()) files[kTokenizerConfigName] = config.dump(1) + "\n";
  return {};
}

Status WriteModelFolder(const Config& config, const Parameters& weights, DType type,
                        const TokenizerFiles& tokenizer, const std::string& folder) {
  return WriteFolder(folder, [&](const std::string& partial) {
    return FillModelFolder(config, weights, type, tokenizer, partial);
  });
}

Status WriteCheckpoint(const Config& config, const Parameters& weights, const Optimizer& optimizer,
                       const Json& state, const TokenizerFiles& tokenizer,
                       const std::string& folder) {
  return WriteFolder(folder, [&](const std::string& partial) -> Status {
    FULMEN_TRY(FillModelFolder(config, weights, DType::kF32, tokenizer, partial));
    FULMEN_TRY(WriteParameters({{"first_moment.", &optimizer.first_moments()},
                                {"second_moment.", &optimizer.second_moments()}},
                               DType::kF32, fmt::format("{}/{}", partial, kOptimizerName)));
    return WriteFileAtomically(fmt::format("{}/{}", partial, kStateName), state.dump(1) + "\n");
  });
}

std::string CheckpointName(int64_t step) { return fmt::format("{}{:07}", kPrefix, step); }

std::vector<std::string> ListCheckpoints(const std::string& folder) {
  std::vector<std::string> found;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (name.starts_with(kPrefix) && name.size() > kPrefix.size() &&
        name.find_first_not_of("0123456789", kPrefix.size()) == std::string::npos) {
      found.push_back(it->path().string());
    }
  }
  // Numbers have at least seven digits, so more of them means a later step.
  std::sort(found.begin(), found.end(), [](const std::string& a, const std::string& b) {
    return std::pair(a.size(), a) > std::pair(b.size(), b);
  });
  return found;
}

void RemoveOldCheckpoints(const std::string& folder, int64_t keep) {
  const std::vector<std::string> checkpoints = ListCheckpoints(folder);
  for (size_t i = static_cast<size_t>(keep); i < checkpoints.size(); ++i) {
    RemoveFolder(checkpoints[i]);
  }
}

Status SetAsideCheckpoint(const std::string& checkpoint) {
  const std::string aside = checkpoint + ".broken";
  std::error_code error;
  fs::remove_all(aside, error);
  fs::rename(checkpoint, aside, error);
  if (error) return Fail(ErrorCode::kIo, "cannot rename {}: {}", checkpoint, error.message());
  return {};
}

void RemovePartialCheckpoints(const std::string& folder) {
  std::vector<std::string> partial;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (name.starts_with(kPrefix) && name.ends_with(kPartial)) partial.push_back(it->path());
  }
  for (const std::string& path : partial) fs::remove_all(path, error);
}

Result<LoadedCheckpoint> LoadCheckpoint(const std::string& folder) {
  FULMEN_ASSIGN(const Model model, LoadModel(folder));
  const std::string path = fmt::format("{}/{}", folder, kOptimizerName);
  FULMEN_ASSIGN(const Checkpoint moments, Checkpoint::Open(path));
  LoadedCheckpoint loaded{model.config, Parameters(model.config, model.weights),
                          Optimizer(model.config), Json()};
  FULMEN_TRY(ReadParameters(moments, "first_moment.", path, loaded.optimizer.first_moments()));
  FULMEN_TRY(ReadParameters(moments, "second_moment.", path, loaded.optimizer.second_moments()));
  FULMEN_ASSIGN(loaded.state, ReadJsonFile(fmt::format("{}/{}", folder, kStateName)));
  return loaded;
}

}  // namespace fulmen
