#!/usr/bin/env bash
# Guess:   an environment that `pip check` calls consistent can import what is installed in it.
# Happens: neonize asks for protobuf without a lower bound, and its generated code needs the runtime that generated it or a newer one. With
#          protobuf 6 pip has nothing to object to, and the import fails.
# Matters: one more package that wants protobuf<7 takes every WhatsApp session down at the next start, and nothing that looks at
#          requirements sees it before. The lower bound has to be written into one's own requirements.
. "$(dirname "$0")/lib/setup"
pip_install neonize==0.5.2 protobuf==6.33.6
{
    python3 -m pip --python "$python" check
    "$python" -c 'import neonize; print("imported")' >import.log 2>&1 || true
    grep -o 'gencode [0-9.]* runtime [0-9.]*[0-9]\|^imported' import.log
} | expect 'No broken requirements found.
gencode 7.34.1 runtime 6.33.6'
