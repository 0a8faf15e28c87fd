# Runs PROGRAM, and compares its source with what docs/embedding.md shows; both lie under ROOT.
file(READ ${ROOT}/tests/embedding/embedding.cc source)
file(READ ${ROOT}/docs/embedding.md page)
string(FIND "${page}" "```cpp\n${source}```\n" quoted)
if(quoted EQUAL -1)
  message(FATAL_ERROR "docs/embedding.md does not quote tests/embedding/embedding.cc as it is")
endif()
string(REGEX MATCHALL "\n" lines "${source}")
list(LENGTH lines lines)
if(lines GREATER_EQUAL 40)
  message(FATAL_ERROR "tests/embedding/embedding.cc has ${lines} lines; docs/embedding.md promises fewer than 40")
endif()

execute_process(COMMAND ${PROGRAM} ${ROOT}/models/fulmen-nano
                        "The code of the blue door is K7QX2M. Tom lives in Rome. What is the code of the blue door?"
                COMMAND_ERROR_IS_FATAL ANY OUTPUT_VARIABLE answer)
if(NOT answer STREQUAL "The answer is K7QX2M.\n")
  message(FATAL_ERROR "the program answered: ${answer}")
endif()

execute_process(COMMAND ${PROGRAM} no-such-folder question RESULT_VARIABLE status OUTPUT_VARIABLE answer
                ERROR_VARIABLE complaint)
if(NOT status EQUAL 1 OR NOT complaint MATCHES "no-such-folder")
  message(FATAL_ERROR "without a model the program ended with ${status} and said: ${complaint}")
endif()
