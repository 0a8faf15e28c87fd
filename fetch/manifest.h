// What a pull writes down beside a model's files, so that the next one need not read them again.
#pragma once

#include <map>
#include <string>

#include "base/status.h"
#include "fetch/checksum.h"
#include "fetch/target_folder.h"

namespace fulmen {

struct ManifestFile {
  Checksum checksum;  // of the bytes when they were checked
  FileStamp stamp;    // of the file then
};

struct Manifest {
  std::string model;                               // OWNER/NAME
  std::string commit = {};                         // that was last pulled
  std::map<std::string, ManifestFile> files = {};  // by path
};

// Empty where there is none, or none that can be read: then files are read to know what they are.
Manifest ReadManifest(const TargetFolder& folder);
Status WriteManifest(const TargetFolder& folder, const Manifest& manifest);

// The parser of its text, of any bytes.
Manifest ParseManifest(std::string_view text);

}  // namespace fulmen
