/* SPDX-License-Identifier: Apache-2.0 */
#include "intaglio.h"

#include <string.h>

#include "intaglio_regs.h"

uint32_t intaglio_mmio_read(void *context, uint32_t offset) {
    return ((volatile uint32_t *)context)[offset / 4u];
}

void intaglio_mmio_write(void *context, uint32_t offset, uint32_t value) {
    ((volatile uint32_t *)context)[offset / 4u] = value;
}

static uint32_t get(const intaglio_device *device, uint32_t offset) {
    return device->port->read(device->port->context, offset);
}

static void set(const intaglio_device *device, uint32_t offset, uint32_t value) {
    device->port->write(device->port->context, offset, value);
}

static void flush(const intaglio_device *device, const uint8_t *begin, uint32_t bytes) {
    if (device->port->flush != NULL) {
        device->port->flush(device->port->context, begin, bytes);
    }
}

static void invalidate(const intaglio_device *device, const uint8_t *begin, uint32_t bytes) {
    if (device->port->invalidate != NULL) {
        device->port->invalidate(device->port->context, begin, bytes);
    }
}

/* Settings and memory are left alone: a write of a setting now is answered with a bus error. */
static int is_running(const intaglio_device *device) {
    return (get(device, INTAGLIO_REG_STATUS) & INTAGLIO_STATUS_BUSY) != 0u;
}

static uint32_t crc32(const uint8_t *data, uint32_t bytes) {
    static const uint32_t table[16] = {0x00000000u, 0x1DB71064u, 0x3B6E20C8u, 0x26D930ACu, 0x76DC4190u, 0x6B6B51F4u,
                                       0x4DB26158u, 0x5005713Cu, 0xEDB88320u, 0xF00F9344u, 0xD6D6A3E8u, 0xCB61B38Cu,
                                       0x9B64C2B0u, 0x86D3D2D4u, 0xA00AE278u, 0xBDBDF21Cu};
    uint32_t crc = 0xFFFFFFFFu;
    uint32_t i;
    for (i = 0; i < bytes; ++i) {
        crc ^= data[i];
        crc = (crc >> 4) ^ table[crc & 15u];
        crc = (crc >> 4) ^ table[crc & 15u];
    }
    return ~crc;
}

intaglio_result intaglio_open(intaglio_device *device, const intaglio_port *port, const intaglio_program *program,
                              void *memory, uint32_t address) {
    device->port = port;
    device->program = program;
    device->memory = (uint8_t *)memory;
    device->error_code = INTAGLIO_ERROR_NONE;
    device->error_address = 0;
    if (get(device, INTAGLIO_REG_ID) != INTAGLIO_ID) {
        return INTAGLIO_NOT_FOUND;
    }
    if (get(device, INTAGLIO_REG_VERSION) != program->version) {
        return INTAGLIO_WRONG_VERSION;
    }
    if (get(device, INTAGLIO_REG_HASH_LOW) != program->hash_low ||
        get(device, INTAGLIO_REG_HASH_HIGH) != program->hash_high) {
        return INTAGLIO_WRONG_HARDWARE;
    }
    /* memory_bytes is at least 1, so the last byte's address does not wrap. */
    if (address % INTAGLIO_ALIGNMENT != 0u || program->memory_bytes - 1u > 0xFFFFFFFFu - address) {
        return INTAGLIO_WRONG_ADDRESS;
    }
    if (is_running(device)) {
        return INTAGLIO_BUSY;
    }
    set(device, INTAGLIO_REG_PROGRAM_ADDRESS, address + program->program_offset);
    set(device, INTAGLIO_REG_PROGRAM_SIZE, program->program_bytes);
    set(device, INTAGLIO_REG_BASE_ADDRESS, address);
    /* Lines that are dirty from before would be written back over results. */
    flush(device, device->memory, program->memory_bytes);
    return INTAGLIO_OK;
}

intaglio_result intaglio_load(intaglio_device *device, const void *image, uint32_t bytes) {
    if (is_running(device)) {
        return INTAGLIO_BUSY;
    }
    if (bytes != device->program->image_bytes) {
        return INTAGLIO_WRONG_IMAGE;
    }
    memcpy(device->memory, image, bytes);
    flush(device, device->memory, bytes);
    return intaglio_check_image(device);
}

intaglio_result intaglio_check_image(const intaglio_device *device) {
    const intaglio_program *program = device->program;
    return crc32(device->memory, program->image_bytes) == program->image_crc ? INTAGLIO_OK : INTAGLIO_WRONG_IMAGE;
}

/* One run of the innermost loop: `from` and `to` are `from_stride` and `to_stride` bytes apart. */
static void copy_run(uint8_t *to, uint32_t to_stride, const uint8_t *from, uint32_t from_stride, uint32_t count,
                     uint8_t flip) {
    if (to_stride == 1u && from_stride == 1u && flip == 0u) {
        memcpy(to, from, count);
        return;
    }
    while (count-- > 0u) {
        *to = (uint8_t)(*from ^ flip);
        to += to_stride;
        from += from_stride;
    }
}

/* Walks the tensor in the order of `elements`; writes to memory, or reads from it. Exactly one source is not null. */
static void copy_tensor(uint8_t *memory, const intaglio_tensor *tensor, const uint8_t *source, uint8_t *target) {
    const uint8_t flip = tensor->quantization.lowest == 0 ? 0x80u : 0u;
    const intaglio_loop *inner = &tensor->loops[tensor->depth - 1u];
    uint32_t index[INTAGLIO_MOST_LOOPS] = {0};
    uint32_t at = 0;
    uint32_t done;
    for (done = 0; done < tensor->elements; done += inner->count) {
        uint32_t level = tensor->depth - 1u;
        if (source != NULL) {
            copy_run(memory + at, inner->stride, source + done, 1u, inner->count, flip);
        } else {
            copy_run(target + done, 1u, memory + at, inner->stride, inner->count, flip);
        }
        while (level-- > 0u) {
            const intaglio_loop *loop = &tensor->loops[level];
            at += loop->stride;
            if (++index[level] < loop->count) {
                break;
            }
            at -= loop->count * loop->stride;
            index[level] = 0;
        }
    }
}

void intaglio_write(const intaglio_device *device, const intaglio_tensor *tensor, const void *elements) {
    uint8_t *memory = device->memory + tensor->offset;
    copy_tensor(memory, tensor, (const uint8_t *)elements, NULL);
    flush(device, memory, tensor->span);
}

void intaglio_read(const intaglio_device *device, const intaglio_tensor *tensor, void *elements) {
    uint8_t *memory = device->memory + tensor->offset;
    invalidate(device, memory, tensor->span);
    copy_tensor(memory, tensor, NULL, (uint8_t *)elements);
}

intaglio_result intaglio_start(intaglio_device *device, int interrupt) {
    const uint32_t enable = interrupt != 0 ? INTAGLIO_CONTROL_INTERRUPT_ENABLE : 0u;
    if ((get(device, INTAGLIO_REG_STATUS) & (INTAGLIO_STATUS_BUSY | INTAGLIO_STATUS_DRAINING)) != 0u) {
        return INTAGLIO_BUSY;
    }
    device->error_code = INTAGLIO_ERROR_NONE;
    device->error_address = 0;
    INTAGLIO_BARRIER();
    set(device, INTAGLIO_REG_CONTROL, INTAGLIO_CONTROL_START | enable);
    return INTAGLIO_OK;
}

intaglio_result intaglio_wait(intaglio_device *device, uint32_t polls) {
    uint32_t status = get(device, INTAGLIO_REG_STATUS);
    while ((status & INTAGLIO_STATUS_BUSY) != 0u) {
        if (polls <= 1u) {
            return INTAGLIO_TIMEOUT;
        }
        --polls;
        if (device->port->idle != NULL) {
            device->port->idle(device->port->context);
        }
        status = get(device, INTAGLIO_REG_STATUS);
    }
    INTAGLIO_BARRIER();
    if ((status & INTAGLIO_STATUS_ERROR) != 0u) {
        device->error_code = (status & INTAGLIO_STATUS_ERROR_MASK) >> INTAGLIO_STATUS_ERROR_SHIFT;
        device->error_address = get(device, INTAGLIO_REG_ERROR_ADDRESS);
        return INTAGLIO_STOPPED;
    }
    return (status & INTAGLIO_STATUS_DONE) != 0u ? INTAGLIO_OK : INTAGLIO_NOT_STARTED;
}

intaglio_result intaglio_stop(const intaglio_device *device, uint32_t polls) {
    if (is_running(device)) {
        set(device, INTAGLIO_REG_CONTROL, INTAGLIO_CONTROL_STOP);
    }
    while ((get(device, INTAGLIO_REG_STATUS) & (INTAGLIO_STATUS_BUSY | INTAGLIO_STATUS_DRAINING)) != 0u) {
        if (polls <= 1u) {
            return INTAGLIO_TIMEOUT;
        }
        --polls;
    }
    INTAGLIO_BARRIER();
    return INTAGLIO_OK;
}

int intaglio_acknowledge(const intaglio_device *device) {
    if ((get(device, INTAGLIO_REG_STATUS) & INTAGLIO_STATUS_INTERRUPT) == 0u) {
        return 0;
    }
    /* Leaves it disabled until the next start. */
    set(device, INTAGLIO_REG_CONTROL, INTAGLIO_CONTROL_INTERRUPT_CLEAR);
    return 1;
}

intaglio_result intaglio_set_watchdog(const intaglio_device *device, uint32_t cycles) {
    if (is_running(device)) {
        return INTAGLIO_BUSY;
    }
    set(device, INTAGLIO_REG_WATCHDOG, cycles);
    return INTAGLIO_OK;
}

uint64_t intaglio_counter(const intaglio_device *device, uint32_t low_register) {
    const uint64_t high = get(device, low_register + 4u);
    return high << 32 | get(device, low_register);
}

uint64_t intaglio_cycles(const intaglio_device *device) {
    return intaglio_counter(device, INTAGLIO_REG_CYCLES_LOW);
}
