#include "model/tensor_table.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "formats/checkpoint.h"
#include "model/cost.h"
#include "model/synth.h"
#include "model/weights.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

TEST(TensorTable, NamesAreUnique) {
  std::set<std::string_view> names;
  for (const TensorRow& row : TensorTable()) {
    const std::string_view name = row.original.name;
    EXPECT_TRUE(names.insert(name).second) << name;
    EXPECT_EQ(row.original.placement, Placement::kWhole) << name;
    EXPECT_EQ(row.per_expert(), name.find("{E}") != std::string_view::npos) << name;
    EXPECT_EQ(!row.in_model(), name.find("{L}") != std::string_view::npos) << name;
    for (const StoredAs& stored : {row.native, row.gguf}) {
      EXPECT_EQ(stored.name.find("{E}"), std::string_view::npos) << stored.name;
      EXPECT_TRUE(stored.name.empty() ||
                  row.per_expert() == (stored.placement != Placement::kWhole))
          << stored.name;
    }
    EXPECT_NE(row.dims[0], Dim::kNone) << name;
    EXPECT_FALSE(row.split == TensorSplit::kColumns && row.dims[1] == Dim::kNone) << name;
  }
  EXPECT_EQ(TensorName("a.{L}.b.{E}.c", 12, 3), "a.12.b.3.c");
}

// The order of files and of training's checkpoints, and where every tensor stands.
TEST(TensorTable, PlacesEveryTensorInFileOrder) {
  Config config = PresetConfig("small").value();
  config.layers = {LayerKind::kSoftmax, LayerKind::kLightning};
  config.experts = 2;
  const std::vector<TensorInstance> tensors = ExpectedTensors(config);
  std::vector<float> memory(tensors.size());
  std::vector<Matrix> matrices;
  for (float& x : memory) matrices.emplace_back(&x, 1, 1);
  const Gradients model = ArrangeGradients(config, matrices);
  std::vector<const float*> by_name = {model.token_embedding.data};
  const LayerTensors<Matrix>& softmax = model.layers[0];
  const LayerTensors<Matrix>& lightning = model.layers[1];
  for (const Matrix& m : {softmax.attention_norm,
                          softmax.query,
                          softmax.key,
                          softmax.value,
                          softmax.attention_output,
                          softmax.mlp_norm,
                          softmax.router,
                          softmax.experts[0].gate,
                          softmax.experts[1].gate,
                          softmax.experts[0].up,
                          softmax.experts[1].up,
                          softmax.experts[0].down,
                          softmax.experts[1].down,
                          lightning.attention_norm,
                          lightning.qkv,
                          lightning.output_gate,
                          lightning.lightning_norm,
                          lightning.attention_output,
                          lightning.mlp_norm,
                          lightning.router,
                          lightning.experts[0].gate,
                          lightning.experts[1].gate,
                          lightning.experts[0].up,
                          lightning.experts[1].up,
                          lightning.experts[0].down,
                          lightning.experts[1].down,
                          model.output_norm,
                          model.head}) {
    by_name.push_back(m.data);
  }
  ASSERT_EQ(by_name.size(), tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    const TensorInstance& t = tensors[i];
    EXPECT_EQ(by_name[i], &memory[i]) << t.name;
    EXPECT_EQ(TensorAt<Matrix>(model, *t.row, t.layer, t.expert).data, &memory[i]) << t.name;
  }
  EXPECT_EQ(tensors[8].name, "model.layers.0.block_sparse_moe.experts.0.w1.weight");
  EXPECT_EQ(tensors[8].expert, 0);
  EXPECT_EQ(tensors[15].name, "model.layers.1.self_attn.qkv_proj.weight");
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
  const Config config = ReadConfig(ModelFiles::Open(folder).value()).value();
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
             (tensor.row->Is(&LayerWeights::router) ? 4 : 2);
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
