// Statements with their values bound: nothing from outside gets into the text of one.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <string>

namespace fulmen {

struct Blob {
  const std::string& bytes;
};

inline void Bind(SQLite::Statement& statement, int place, const Blob& value) {
  statement.bind(place, value.bytes.data(), static_cast<int>(value.bytes.size()));
}

template <class Value>
void Bind(SQLite::Statement& statement, int place, const Value& value) {
  statement.bind(place, value);
}

template <class... Values>
SQLite::Statement Query(SQLite::Database& database, const char* text, const Values&... values) {
  SQLite::Statement statement(database, text);
  int place = 0;
  (Bind(statement, ++place, values), ...);
  return statement;
}

// Returns how many rows it changed.
template <class... Values>
int Execute(SQLite::Database& database, const char* text, const Values&... values) {
  return Query(database, text, values...).exec();
}

}  // namespace fulmen
