/* SPDX-License-Identifier: Apache-2.0
 *
 * Driver of the Intaglio accelerator: C99, no operating system, no heap, no floating point, of the C library
 * only stdint.h, stddef.h and memcpy. It knows nothing of one network: intaglio_network.h describes that.
 *
 *     intaglio_device device;
 *     intaglio_open(&device, &port, &intaglio_network, memory, address);   once
 *     intaglio_load(&device, image, INTAGLIO_IMAGE_BYTES);                 unless the image is there already
 *     for each inference:
 *         intaglio_write(&device, &intaglio_inputs[0], elements);          each input
 *         intaglio_start(&device, 0);
 *         intaglio_wait(&device, polls);
 *         intaglio_read(&device, &intaglio_outputs[0], elements);          each output
 *
 * A device is used by one thread at a time; intaglio_acknowledge alone may be called in an interrupt handler.
 */
#ifndef INTAGLIO_H
#define INTAGLIO_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Orders memory accesses against register accesses. Define it before this file, or with -D, for other compilers
 * or where the platform wants another instruction. */
#ifndef INTAGLIO_BARRIER
#ifdef __GNUC__
#define INTAGLIO_BARRIER() __sync_synchronize()
#else
#error "define INTAGLIO_BARRIER() for this compiler: a full memory barrier"
#endif
#endif

#define INTAGLIO_ALIGNMENT 4096u /* of the memory's address on the accelerator's bus */
#define INTAGLIO_MOST_LOOPS 8

typedef enum {
    INTAGLIO_OK = 0,
    INTAGLIO_NOT_FOUND,      /* the ID register does not say INTG: wrong base address, no clock, or in reset */
    INTAGLIO_WRONG_VERSION,  /* hardware of another version of the registers and commands */
    INTAGLIO_WRONG_HARDWARE, /* hardware of another configuration: the network was exported for other hardware */
    INTAGLIO_WRONG_ADDRESS,  /* not a multiple of INTAGLIO_ALIGNMENT, or the memory ends beyond 32 bits */
    INTAGLIO_WRONG_IMAGE,    /* the image's size or checksum is not that of this network */
    INTAGLIO_BUSY,           /* runs, or bursts of a run that failed are in flight: try again later */
    INTAGLIO_NOT_STARTED,    /* nothing to wait for */
    INTAGLIO_TIMEOUT,        /* still running: wait again */
    INTAGLIO_STOPPED         /* the hardware met an error: see error_code and error_address of the device */
} intaglio_result;

/* How the accelerator's registers and memory are reached. flush, invalidate and idle may be null. */
typedef struct {
    uint32_t (*read)(void *context, uint32_t offset);
    void (*write)(void *context, uint32_t offset, uint32_t value);
    /* flush writes the data cache's lines of these bytes back and drops them, invalidate drops them: needed where the
     * accelerator does not see the cache. Every range begins at a multiple of 4096 bytes of bus address, and what lies
     * between its end and the next such multiple belongs to it, so that lines are shared with nothing else. */
    void (*flush)(void *context, const void *begin, size_t bytes);
    void (*invalidate)(void *context, const void *begin, size_t bytes);
    /* Called between two looks at the status while waiting: a wait-for-interrupt instruction, or a delay. */
    void (*idle)(void *context);
    void *context;
} intaglio_port;

/* Functions for read and write of a port whose context points at the registers. */
uint32_t intaglio_mmio_read(void *context, uint32_t offset);
void intaglio_mmio_write(void *context, uint32_t offset, uint32_t value);

/* real = scale * (element - zero_point). lowest: -128 for int8 elements, 0 for uint8. */
typedef struct {
    float scale;
    int32_t zero_point;
    int32_t lowest;
} intaglio_quantization;

typedef struct {
    uint32_t count;
    uint32_t stride; /* bytes in memory */
} intaglio_loop;

/* A tensor in the accelerator's memory. elements: how many, a byte each, in the order and type of the model file.
 * loops: where they lie from `offset` on, the outermost first; a uint8 lies there with its top bit flipped. */
typedef struct {
    const char *name;
    uint32_t offset;
    uint32_t span; /* bytes from the first to the end of the last row's padding */
    uint32_t elements;
    intaglio_quantization quantization;
    uint32_t depth;
    intaglio_loop loops[INTAGLIO_MOST_LOOPS];
} intaglio_tensor;

/* A network for one configuration of the hardware, as intaglio_network.h describes it. */
typedef struct {
    const char *name;
    uint32_t version;   /* of registers and commands */
    uint32_t hash_low;  /* of the configuration */
    uint32_t hash_high;
    uint32_t program_offset;
    uint32_t program_bytes;
    uint32_t image_bytes;  /* the memory's first bytes, as in image.bin */
    uint32_t image_crc;    /* CRC-32 of them (IEEE 802.3, as zlib's crc32) */
    uint32_t memory_bytes; /* in all: image, inputs, outputs and work area */
    uint32_t inputs_count;
    const intaglio_tensor *inputs;
    uint32_t outputs_count;
    const intaglio_tensor *outputs;
} intaglio_program;

typedef struct {
    const intaglio_port *port;
    const intaglio_program *program;
    uint8_t *memory;
    uint32_t error_code;    /* after INTAGLIO_STOPPED: INTAGLIO_ERROR_... of intaglio_regs.h */
    uint32_t error_address; /* its meaning depends on the code */
} intaglio_device;

/* Checks that the hardware is that of the network, idles, and can use the memory; tells it where the memory is, and
 * flushes the memory's range once. memory: program->memory_bytes bytes as the processor sees them; address: the same
 * bytes on the accelerator's bus, a multiple of INTAGLIO_ALIGNMENT. Port and program outlive the device. After a reset
 * of the hardware it has to be called again.
 * NOT_FOUND, WRONG_VERSION, WRONG_HARDWARE, WRONG_ADDRESS or BUSY: nothing was changed. */
intaglio_result intaglio_open(intaglio_device *device, const intaglio_port *port, const intaglio_program *program,
                              void *memory, uint32_t address);

/* Copies the image to the memory and checks it there. WRONG_IMAGE; BUSY. */
intaglio_result intaglio_load(intaglio_device *device, const void *image, uint32_t bytes);

/* Checks an image that something else put into the memory (a boot loader, a debugger). WRONG_IMAGE. */
intaglio_result intaglio_check_image(const intaglio_device *device);

/* Copies tensor->elements bytes between a dense array in the model file's order and the accelerator's memory. Not while
 * it runs. */
void intaglio_write(const intaglio_device *device, const intaglio_tensor *tensor, const void *elements);
void intaglio_read(const intaglio_device *device, const intaglio_tensor *tensor, void *elements);

/* Starts one inference. interrupt: not 0 to raise the interrupt at its end. BUSY. */
intaglio_result intaglio_start(intaglio_device *device, int interrupt);

/* Looks at the status up to `polls` times (at least once), with port->idle in between, until the run has ended.
 * TIMEOUT: it has not; STOPPED; NOT_STARTED. */
intaglio_result intaglio_wait(intaglio_device *device, uint32_t polls);

/* Stops a run, and leaves the interrupt disabled: nothing new is issued, bursts in flight come to their end. Looks at the
 * status up to `polls` times (at least once) until nothing runs and nothing is in flight; then OK, also where nothing ran,
 * and intaglio_start works at once. TIMEOUT: bursts are still in flight, so the memory may still change: call it again.
 * A run that was stopped leaves its outputs as they may be; intaglio_wait says STOPPED, with INTAGLIO_ERROR_STOPPED, or OK
 * if it had come to its end before. */
intaglio_result intaglio_stop(const intaglio_device *device, uint32_t polls);

/* In the interrupt's handler: lowers the interrupt. Whether it was the accelerator's (1) or not (0). */
int intaglio_acknowledge(const intaglio_device *device);

/* Cycles without progress after which the hardware stops with INTAGLIO_ERROR_WATCHDOG; 0: never. Not while it runs:
 * BUSY. */
intaglio_result intaglio_set_watchdog(const intaglio_device *device, uint32_t cycles);

/* A counter of the last run: INTAGLIO_REG_..._LOW of intaglio_regs.h. After the run's end; 0 where INTAGLIO_COUNTERS is 0. */
uint64_t intaglio_counter(const intaglio_device *device, uint32_t low_register);

/* Clock cycles of the last run; 0 where INTAGLIO_COUNTERS is 0. */
uint64_t intaglio_cycles(const intaglio_device *device);

#ifdef __cplusplus
}
#endif

#endif
