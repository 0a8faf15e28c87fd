// Numbers of JSON whose values lie in a range, as the texts that spell them.
//
// Bounds and multiples are exact decimals, as they stand in the schema. Plain decimals ("-12.50")
// are always complete: each one whose value is meant, and no other. Spellings with an exponent are
// those that Python's json.dumps writes (from 1e+16 and below 1e-04), and all of RFC 8259's where a
// number is not bounded at all; with multiples other than whole numbers there are none.
#pragma once

#include "base/json.h"
#include "grammar/schema_facts.h"
#include "grammar/terms.h"

namespace fulmen {

Term AnyNumber(Terms& terms);    // RFC 8259, section 6
Term PlainNumber(Terms& terms);  // of these, without an exponent

Term NumberTerm(Terms& terms, const NumberFacts& facts);
Term NumberEqualTo(Terms& terms, const Json& value);

// Whether multiples of `value`, a positive number, can be told: it has few enough digits.
bool CanTellMultiplesOf(const Json& value);

}  // namespace fulmen
