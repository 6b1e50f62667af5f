# cmake -DDEPFILE=<file> -P EscapeDepfile.cmake: nvcc writes paths with their spaces as they are, which
# a build tool reads as several files that do not exist, and builds again each time.
file(READ "${DEPFILE}" text)
string(REGEX REPLACE "[ \t]*\\\\?\n[ \t]*" "\n" text "${text}")  # a path a line
string(REPLACE "\\ " " " text "${text}")
string(REPLACE " : " ":\n" text "${text}")
string(REPLACE " " "\\ " text "${text}")
string(STRIP "${text}" text)
string(REPLACE "\n" " \\\n  " text "${text}")
file(WRITE "${DEPFILE}" "${text}\n")
