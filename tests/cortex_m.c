/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * cortex_m.c - what lies between a Cortex-M's reset and newlib's start-up code, for the portability matrix
 */
#include <stdint.h>

extern char __stack[];
void _start(void);
void reset(void);

__attribute__((section(".vectors"), used)) static void *const vectors[] = {__stack, (void *)reset};

void reset(void)
{
#ifdef __ARM_FP
    volatile uint32_t *cpacr = (volatile uint32_t *)0xE000ED88u; /* access to the floating-point unit: full */
    *cpacr |= 0xFu << 20;
    __asm__ volatile("dsb\n\tisb");
#endif
    _start();
}
