#include "grammar/formats.h"
namespace fulmen {
std::optional<Term> FormatTerm(Terms&, std::string_view, Spelling) { return std::nullopt; }
}
