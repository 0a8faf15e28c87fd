// What every command that computes needs: a model, the kernels, threads and scratch memory.
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "base/thread_pool.h"
#include "base/workspace.h"
#include "cli/command.h"
#include "engine/engine.h"
#include "formats/model_files.h"
#include "kernels/compute.h"
#include "model/weights.h"

namespace fulmen {

struct SessionOptions {
  std::string model;       // folder or .gguf file; empty: the default model
  std::string mmproj;      // file of a .gguf model's vision half; empty: the one beside it
  std::string kernels;     // "ref", "cpu" or empty for the environment's choice
  int threads = 0;         // 0: all processors
  bool as_stored = false;  // quantized weights stay as the file has them
  DType kv_type = DType::kF32;
};

// -m/--model, --kernels, --threads.
void AddSessionOptions(Command& command, SessionOptions& options);
// Those of commands that need only some of it.
Option& AddModelOption(Command& command, std::string& model, std::string help);
Option& AddKernelsOption(Command& command, std::string& kernels);
Option& AddThreadsOption(Command& command, int& threads);
// --mmproj, of commands that a model's vision half makes a difference to.
Option& AddMmprojOption(Command& command, std::string& mmproj);
// --no-repack, of commands that may compute for long.
void AddRepackOption(Command& command, SessionOptions& options);
// --kv-type, of commands that keep sequences.
void AddKvTypeOption(Command& command, SessionOptions& options);
// -q/--quiet, of every command that shows progress. What it `leaves_out` reads like "progress".
Option& AddQuietOption(Command& command, bool& quiet, const char* leaves_out = "progress");

// Not movable: `context` points into it.
struct Session {
  Session(ModelFiles opened, Model loaded, const Kernels& chosen, const SessionOptions& options)
      : files(std::move(opened)),
        model(std::move(loaded)),
        kernels(chosen),
        pool(options.threads),
        kv_type(options.kv_type) {}
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  ModelFiles files;
  Model model;
  const Kernels& kernels;
  ThreadPool pool;
  Workspace scratch;
  KernelContext context{pool, scratch};
  Compute compute{kernels, context};
  DType kv_type;  // of keys and values of softmax layers
  size_t repacked_bytes = 0;
};

// An engine for what a command answers: half the memory that is left for sequences and for what is
// kept of them, shared with other engines where there are `engines`. `keep`: whether a request may
// come that begins like one before.
EngineOptions EngineOptionsFor(const Session& session, bool keep, int64_t engines = 1);

Result<std::unique_ptr<Session>> OpenSession(const SessionOptions& options);

// Repacks quantized weights where the options and the machine's memory allow it.
void RepackIfWanted(Session& session, const SessionOptions& options, bool quiet);

}  // namespace fulmen
