#include "formats/ggml_types.h"

#include <algorithm>
#include <array>

namespace fulmen {
namespace {

constexpr auto kGgmlTypes = std::to_array<GgmlType>({
    {0, "F32"},
    {1, "F16"},
    {2, "Q4_0"},
    {3, "Q4_1"},
    {4, "Q4_2", "Q4_0"},
    {5, "Q4_3", "Q4_1"},
    {6, "Q5_0"},
    {7, "Q5_1"},
    {8, "Q8_0"},
    {9, "Q8_1", "Q8_0"},
    {10, "Q2_K"},
    {11, "Q3_K"},
    {12, "Q4_K"},
    {13, "Q5_K"},
    {14, "Q6_K"},
    {15, "Q8_K", "Q8_0"},
    {16, "IQ2_XXS", "Q2_K or Q3_K_M"},
    {17, "IQ2_XS", "Q2_K or Q3_K_M"},
    {18, "IQ3_XXS", "Q3_K_M"},
    {19, "IQ1_S", "Q2_K"},
    {20, "IQ4_NL"},
    {21, "IQ3_S", "Q3_K_M"},
    {22, "IQ2_S", "Q2_K or Q3_K_M"},
    {23, "IQ4_XS"},
    {24, "I8"},
    {25, "I16"},
    {26, "I32"},
    {27, "I64"},
    {28, "F64"},
    {29, "IQ1_M", "Q2_K"},
    {30, "BF16"},
    {31, "Q4_0_4_4", "Q4_0"},
    {32, "Q4_0_4_8", "Q4_0"},
    {33, "Q4_0_8_8", "Q4_0"},
    {34, "TQ1_0", "Q2_K"},
    {35, "TQ2_0", "Q2_K"},
    {36, "IQ4_NL_4_4", "IQ4_NL"},
    {37, "IQ4_NL_4_8", "IQ4_NL"},
    {38, "IQ4_NL_8_8", "IQ4_NL"},
    {39, "MXFP4", "Q4_K_M"},
});

}  // namespace

const GgmlType* FindGgmlType(uint32_t id) {
  const auto* found = std::ranges::find(kGgmlTypes, id, &GgmlType::id);
  return found == kGgmlTypes.end() ? nullptr : found;
}

std::optional<uint32_t> GgmlTypeId(DType type) {
  const auto* found = std::ranges::find(kGgmlTypes, DTypeName(type), &GgmlType::name);
  if (found == kGgmlTypes.end()) return std::nullopt;
  return found->id;
}

}  // namespace fulmen
