// What a sketch takes for granted, as far as tests/test_vendoring.sh needs it to run one on the desk.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>

struct SerialPort {
    void begin(long) {}
    size_t write(const char *text, size_t bytes) { return fwrite(text, 1, bytes, stdout); }
    void println(const char *text) { puts(text); }
};
inline SerialPort Serial;

void setup();
void loop();
