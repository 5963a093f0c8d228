#!/bin/sh
# Runs a command that Ctrl-C can reach: sh tests/attentive.sh COMMAND...
# A shell has what it starts in the background ignore SIGINT, and our programs respect that. The command keeps this
# shell's process id, so  sh tests/attentive.sh COMMAND & kill -INT $!  works.
if env --default-signal=INT true 2> /dev/null; then exec env --default-signal=INT "$@"; fi
exec perl -e '$SIG{INT} = "DEFAULT"; exec { $ARGV[0] } @ARGV or die "cannot run $ARGV[0]\n"' "$@"
