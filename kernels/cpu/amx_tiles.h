// AMX: eight tile registers of 16 rows of 64 bytes, which are multiplied by one instruction.
#pragma once

namespace fulmen::cpu {

// Makes this thread's tile registers whole and fills them with zeros; when it goes they are free
// again, and cost the system nothing to switch. Only with TargetExtension::kAmx.
class AmxTiles {
 public:
  AmxTiles();
  ~AmxTiles();
  AmxTiles(const AmxTiles&) = delete;
  AmxTiles& operator=(const AmxTiles&) = delete;
};

}  // namespace fulmen::cpu
