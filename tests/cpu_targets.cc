// Prints the instruction sets kernels can use on this machine, best first, one to a line.
#include <cstdio>
#include <string>

#include "kernels/cpu/targets.h"

int main() {
  for (const std::string& target : fulmen::cpu::Targets()) std::puts(target.c_str());
}
