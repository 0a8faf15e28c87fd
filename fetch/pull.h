// Brings a model from a host into a folder, and keeps it as the host has it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/status.h"
#include "fetch/choose_files.h"
#include "fetch/host_connection.h"
#include "fetch/model_reference.h"

namespace fulmen {

struct PullOptions {
  std::string endpoint = "https://huggingface.co";
  std::string token;  // empty: none
  ModelReference model;
  std::string revision = "main";  // a branch, a tag or a commit
  FileFilter filter;
  std::string folder;    // to fetch into
  int parallel = 4;      // requests at a time
  bool dry_run = false;  // asks the host and looks into the folder, but changes nothing
  TransferOptions transfer;
};

struct PullObserver {
  // Before files are fetched: bytes of all of them, and those of them that are there already.
  std::function<void(int64_t bytes, int64_t there)> start = [](int64_t, int64_t) {};
  // Bytes that came, or fewer than none where some were thrown away; from any thread.
  std::function<void(int64_t)> progress = [](int64_t) {};
};

struct PulledFile {
  RemoteFile file;
  bool was_there = false;  // whole and unchanged before the pull
};

struct PullReport {
  std::string commit;
  std::vector<PulledFile> files;     // all that were chosen
  std::vector<std::string> removed;  // that the host has no longer
  int64_t bytes = 0;                 // of all files
  int64_t missing_bytes = 0;         // of those that were not there
};

// Files get their names only when they are whole and their checksum is right; what came of others
// stays aside, and the next pull goes on with it, whatever ended this one. Files that an earlier
// pull brought and that the host has no longer are removed, unless they were changed.
Result<PullReport> PullModel(const PullOptions& options, const PullObserver& observer = {});

}  // namespace fulmen
