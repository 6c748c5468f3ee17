/* The exported intaglio.v in Verilator between a memory on AXI4 and a master on AXI4-Lite, for programs in C. */
#ifndef HARNESS_H
#define HARNESS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A memory of `bytes` bytes of pseudo-random content at `address`, and the hardware out of reset. seed: of the content and
 * of the memory's pauses. */
void harness_open(uint32_t address, size_t bytes, uint32_t seed);
void harness_close(void);

/* The memory's bytes. */
void *harness_memory(void);

/* Registers, as a port's functions; an answer other than OKAY, or none, ends the process. */
uint32_t harness_read(void *context, uint32_t offset);
void harness_write(void *context, uint32_t offset, uint32_t value);

/* Register accesses so far. */
unsigned harness_accesses(void);

/* Runs until the interrupt is high, or for `cycles` cycles. Whether it is high. */
int harness_interrupt(unsigned cycles);

/* Not 0: the memory accepts and answers nothing. */
void harness_stall(int stalled);

/* Makes the processor's cache part of the model: what harness_memory holds then is the processor's view. flush copies
 * to the accelerator's view, invalidate from it. */
void harness_separate_caches(void);
void harness_flush(void *context, const void *begin, size_t bytes);
void harness_invalidate(void *context, const void *begin, size_t bytes);

#ifdef __cplusplus
}
#endif

#endif
