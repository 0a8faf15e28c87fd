// For tests: a PostgreSQL of their own, which nothing outside can reach.
#pragma once

#include <sys/types.h>

#include <string>

namespace fulmen::testing {

class PrivatePostgres {
 public:
  // The one of this test program, which is started by the first who asks and ends with the program.
  // nullptr where PostgreSQL is not installed.
  static PrivatePostgres* Shared();

  PrivatePostgres(std::string programs, std::string folder);
  ~PrivatePostgres();
  PrivatePostgres(const PrivatePostgres&) = delete;
  PrivatePostgres& operator=(const PrivatePostgres&) = delete;

  // A connection string to a new, empty database.
  std::string NewDatabase();
  // All that a thief of the database has.
  std::string Dump(const std::string& database) const;

  void Start();  // and waits until it answers
  void Kill();   // as a crash does, with all that belongs to it
  // Stops all its processes: they answer no more, though their connections stay. Or goes on.
  void Signal(int signal) const;

 private:
  std::string Command(const std::string& program) const;
  std::string Url(const std::string& database) const;

  const std::string programs_;
  const std::string folder_;
  pid_t server_ = 0;
  int databases_ = 0;
};

// Why a test is left out; with CI=true that is a failure.
constexpr const char* kNoPostgres = "PostgreSQL's server is not installed (package postgresql-15)";

}  // namespace fulmen::testing
