// Each file of this folder is compiled once per instruction set and offers one function that writes
// its operations, for the instruction set chosen at start-up, into the table. The table starts
// empty and must end complete: every operation has a fast twin, and none is left to `ref`.
#pragma once

#include "kernels/cpu/byte_products.h"
#include "kernels/kernels.h"

namespace fulmen::cpu {

// `products` counts where the instruction set leaves a choice: see activations-inl.h.
void RegisterElementwise(Kernels& kernels);
void RegisterLinear(Kernels& kernels, ByteProducts products);
void RegisterRepack(Kernels& kernels, ByteProducts products);
void RegisterMoe(Kernels& kernels, ByteProducts products);
void RegisterRope(Kernels& kernels);
void RegisterLightningAttention(Kernels& kernels);
void RegisterKvCache(Kernels& kernels);
void RegisterSoftmaxAttention(Kernels& kernels);
void RegisterBidirectionalAttention(Kernels& kernels);
void RegisterRouter(Kernels& kernels);

}  // namespace fulmen::cpu
