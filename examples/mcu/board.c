/* board.c - reset, serial port and stack meter of an Arm MPS2 board with a Cortex-M4F (AN386) or M7 (AN500)
 *
 * Everything that knows the hardware is here and in mps2.ld. Another board needs another of these two.
 */
#include <string.h>
#include "board.h"

/* newlib's is made for speed and has 732 bytes; here a few names are compared when the model is opened. */
int strcmp(const char *a, const char *b)
{
    while (*a && *a == *b) a++, b++;
    return *(const unsigned char *)a - *(const unsigned char *)b;
}

int main(void);
void reset(void);

/* From mps2.ld. */
extern uint32_t data_in_flash[], data_begin[], data_end[], bss_begin[], bss_end[], stack_bottom[], stack_top[];

__attribute__((section(".vectors"), used)) static void *const vectors[16] = {
    stack_top,     (void *)reset, (void *)reset, (void *)reset, (void *)reset, (void *)reset, (void *)reset, 0, 0, 0, 0,
    (void *)reset, (void *)reset, 0,             (void *)reset, (void *)reset,
};

enum { PAINT = 0x5AFE5AFE };

/* Semihosting: only to end the simulation with a status. On a board without a debugger, wait here instead. */
static void board_exit(int status)
{
    uint32_t block[2];
    register uint32_t operation __asm__("r0") = 0x20; /* SYS_EXIT_EXTENDED */
    register uint32_t *argument __asm__("r1") = block;
    block[0] = 0x20026, block[1] = (uint32_t)status; /* ADP_Stopped_ApplicationExit */
    __asm__ volatile("bkpt 0xAB" : "+r"(operation) : "r"(argument) : "memory");
    for (;;) {}
}

void reset(void)
{
    uint32_t *to, *from;
    for (to = data_begin, from = data_in_flash; to < data_end;) *to++ = *from++;
    for (to = bss_begin; to < bss_end;) *to++ = 0;
    for (to = stack_bottom; to < (uint32_t *)__builtin_frame_address(0) - 32;) *to++ = PAINT;
    *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20; /* CPACR: the floating-point unit on */
    __asm__ volatile("dsb\n\tisb");
    board_exit(main());
}

/* CMSDK APB UART 0. */
static volatile uint32_t *const uart = (volatile uint32_t *)0x40004000u;
enum { UART_DATA, UART_STATE, UART_CONTROL, UART_INTERRUPT, UART_DIVIDER };

void board_open(void)
{
    uart[UART_DIVIDER] = 25000000 / 115200;
    uart[UART_CONTROL] = 1; /* send */
}

void board_write(const char *text, size_t bytes)
{
    for (; bytes > 0; bytes--) {
        while (uart[UART_STATE] & 1) {} /* full */
        uart[UART_DATA] = (unsigned char)*text++;
    }
}

void board_write_text(const char *text)
{
    size_t n = 0;
    while (text[n]) n++;
    board_write(text, n);
}

uint32_t board_deepest_stack(void)
{
    const uint32_t *p = stack_bottom;
    while (p < stack_top && *p == (uint32_t)PAINT) p++;
    return (uint32_t)(stack_top - p) * 4u;
}
