#include "model/tensor_table.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "formats/checkpoint.h"
#include "model/cost.h"
#include "model/weights.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

TEST(TensorTable, NamesAreUnique) {
  std::set<std::string_view> names;
  for (const TensorRow& row : TensorTable()) {
    EXPECT_TRUE(names.insert(row.name).second) << row.name;
    EXPECT_EQ(&RowOf(row.role), &row);
    EXPECT_EQ(row.per_expert, row.name.find("{E}") != std::string_view::npos) << row.name;
    EXPECT_EQ(row.scope != TensorScope::kModel, row.name.find("{L}") != std::string_view::npos);
    EXPECT_LT(row.shard_axis, row.dims[1] == Dim::kNone ? 1 : 2) << row.name;
  }
  EXPECT_EQ(TensorName("a.{L}.b.{E}.c", 12, 3), "a.12.b.3.c");
}

TEST(TensorTable, StoredConstants) {
  EXPECT_TRUE(IsStoredConstant("model.layers.3.self_attn.slope_rate"));
  EXPECT_TRUE(IsStoredConstant("model.layers.3.self_attn.diagonal_decay"));
  EXPECT_FALSE(IsStoredConstant("model.layers.3.self_attn.q_proj.weight"));
  EXPECT_TRUE(IsStoredConstant("model.layers.3.self_attn.rotary_emb.inv_freq"));
  EXPECT_TRUE(IsStoredConstant("model.rotary_emb.inv_freq"));
  EXPECT_FALSE(IsStoredConstant("slope_rate"));
}

// The released M1: every name and every byte is accounted for.
TEST(TensorTable, AccountsForThePublishedModel) {
  const std::string folder = testing::GoldenFolder("published/MiniMax-M1");
  if (folder.empty()) GTEST_SKIP() << "published/MiniMax-M1 is not here";
  const Config config = ReadConfig(folder + "/config.json").value();
  const CheckpointIndex index =
      ReadCheckpointIndex(folder + "/model.safetensors.index.json").value();
  EXPECT_EQ(index.shard_of.size(), 8243U);
  EXPECT_EQ(index.total_size, 912'210'767'872U);

  std::set<std::string> expected;
  int64_t elements = 0;
  size_t bytes = 0;
  for (const TensorInstance& tensor : ExpectedTensors(config)) {
    EXPECT_TRUE(expected.insert(tensor.name).second) << tensor.name;
    elements += ElementCount(tensor.shape);
    // BF16 throughout, but for the routers: only in float32 do they fill the declared size.
    bytes += static_cast<size_t>(ElementCount(tensor.shape)) *
             (tensor.row->role == TensorRole::kRouter ? 4 : 2);
  }
  std::set<std::string> published;
  std::set<std::string_view> names;
  for (const auto& [name, shard] : index.shard_of) {
    published.insert(name);
    names.insert(name);
  }
  EXPECT_EQ(expected, published);
  EXPECT_EQ(bytes, index.total_size);
  EXPECT_EQ(elements, ParameterCount(config));
  EXPECT_EQ(elements, 456'089'655'296);
  EXPECT_EQ(ActiveParameterCount(config), 45'944'920'064);

  EXPECT_EQ(ResolveTensors(config, names, "M1").value().size(), 8243U);
  names.insert("model.layers.0.self_attn.extra.weight");
  EXPECT_FALSE(ResolveTensors(config, names, "M1"));
}

}  // namespace
}  // namespace fulmen
