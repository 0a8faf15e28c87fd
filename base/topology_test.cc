#include "base/topology.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/machine.h"

namespace fulmen {
namespace {

using Places = std::vector<int>;

TEST(Topology, CountsTheProcessorsOfEachNode) {
  const Topology topology = Topology::Invented("numa:4 core:3 pu:2");
  ASSERT_EQ(topology.nodes(), 4);
  for (int node = 0; node < 4; ++node) EXPECT_EQ(topology.processors(node), 6);
  EXPECT_EQ(topology.CurrentNode(), 0);
}

TEST(Topology, MemoryBesideOtherMemoryIsNoNode) {
  // Two packages, each with memory of two kinds beside its processors.
  const Topology topology = Topology::Invented("package:2 [numa] [numa] core:4 pu:1");
  ASSERT_EQ(topology.nodes(), 2);
  EXPECT_EQ(topology.processors(1), 4);
}

TEST(Topology, ThreadsFollowTheProcessors) {
  const Topology two = Topology::Invented("numa:2 pu:4");
  EXPECT_EQ(two.PlaceThreads(1), Places({0}));
  EXPECT_EQ(two.PlaceThreads(2), Places({0, 1}));
  EXPECT_EQ(two.PlaceThreads(3), Places({0, 0, 1}));
  EXPECT_EQ(two.PlaceThreads(8), Places({0, 0, 0, 0, 1, 1, 1, 1}));
  EXPECT_EQ(two.PlaceThreads(16), Places({0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1}));
  EXPECT_EQ(Topology::Invented("numa:4 pu:2").PlaceThreads(3), Places({0, 1, 2}));
  EXPECT_EQ(Topology::Invented("numa:1 pu:2").PlaceThreads(3), Places({0, 0, 0}));
}

TEST(Topology, ThisMachineHasWhatThisProcessMayUse) {
  const Topology& machine = Topology::Machine();
  ASSERT_GE(machine.nodes(), 1);
  int processors = 0;
  for (int node = 0; node < machine.nodes(); ++node) processors += machine.processors(node);
  EXPECT_GE(processors, AvailableProcessors());  // which a quota may lower
  EXPECT_LT(machine.CurrentNode(), machine.nodes());
}

}  // namespace
}  // namespace fulmen
