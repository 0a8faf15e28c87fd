// What a GGUF file says of a model beside its tensors, as llama.cpp reads and writes it.
#pragma once

#include <string>

#include "base/status.h"
#include "formats/gguf_writer.h"
#include "model/weights.h"
#include "quantize/importance.h"
#include "quantize/mix.h"
#include "tokenizer/tokenizer_tables.h"

namespace fulmen {

// Geometry and constants. `name` is what the model is called. Fails for what the format has no keys
// for: residual weights other than one alpha, residuals before the norm.
Result<GgufMetadata> ModelMetadata(const Model& model, const Mix& mix, const std::string& name);

// Of the vision half, which is a file of its own.
GgufMetadata VisionMetadata(const Config& config, const Mix& mix, const std::string& name);

// What a GGUF file made of another says: all that the other does, but for how its tensors are
// stored. Points into the file `header` was read from.
GgufMetadata MetadataFromGguf(const GgufHeader& header, const Mix& mix);

// Where the importance that the tensors were quantized with comes from; nothing for none. Files are
// named without their folders, which are the maker's own.
GgufMetadata ImportanceMetadata(const ImportanceMatrix& importance);

// Tokens, merges, special ids and chat template. Fails for a split pattern that the format has no
// name for, and for more tokens than the model has.
Result<GgufMetadata> TokenizerMetadata(const TokenizerTables& tables, const Model& model,
                                       const std::string& where);

}  // namespace fulmen
