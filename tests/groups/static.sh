# Static analysis and proofs.

if [ "$all" = all ]; then
    run "static analysis, gcc" sh tests/static.sh $B analyzer
    run "static analysis, clang-tidy" sh tests/static.sh $B tidy
    run "static analysis, cppcheck" sh tests/static.sh $B cppcheck
    run "proofs" sh tests/static.sh $B proof
fi
run "the floors of the converter" sh tests/floors.sh
