// Where the reference results are.
#pragma once

#include <string>
#include <vector>

namespace fulmen::testing {

// A path of the source tree, e.g. "tests/golden".
std::string SourcePath(const std::string& relative);

// The folder `name` of the goldens, e.g. "text/hybrid": of the full set where it is present
// ($FULMEN_SHARED, or ../shared beside the checkout), else of the compact copy in tests/golden.
// Empty when neither has it: skip the test then (with CI=true the full set's absence fails
// elsewhere).
std::string GoldenFolder(const std::string& name);

// Copies the model of the golden `name` and its tokenizer into `folder`, to be spoilt there. Only
// of goldens that the compact copy has.
void CopyGoldenModel(const std::string& name, const std::string& folder);

// The full set's root ("…/shared"), or "" when it is absent.
std::string SharedRoot();

// Reads a file of a test; a failure ends the program, since the test cannot mean anything then.
std::string ReadFileOrDie(const std::string& path);

// A fresh empty folder for this test, removed with everything in it at the end of its life.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace fulmen::testing
