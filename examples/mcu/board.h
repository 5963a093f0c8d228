/* board.h - what the example asks of a board; board.c has it for Arm's MPS2 boards, as qemu has them too */
#ifndef BOARD_H
#define BOARD_H

#include <stddef.h>
#include <stdint.h>

void board_open(void);
void board_write(const char *text, size_t bytes);
void board_write_text(const char *text);
uint32_t board_deepest_stack(void); /* bytes of stack that were in use at the deepest point so far */

#endif
