/* program example RUNS < inputs > outputs: the exported main.c, as it is.
 * program CASE INPUTS: one of the cases below, for the driver alone; INPUTS is a file with dense elements of every
 * input. Writes what it finds as "name value" lines; cases.py knows what has to come out. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "intaglio_network.h"
#include "intaglio_regs.h"

int example_main(void);
void program_input(const char *name, void *data, size_t bytes);
void program_output(const char *name, const void *data, size_t bytes);

const intaglio_port program_port = {harness_read, harness_write, harness_flush, harness_invalidate, NULL, NULL};
static const intaglio_port plain_port = {harness_read, harness_write, NULL, NULL, NULL, NULL};
const void *program_image;
uint32_t program_address = 0x40001000u;
unsigned program_runs;
static uint8_t *elements;

static void *file_content(const char *path, size_t *bytes) {
    FILE *file = fopen(path, "rb");
    uint8_t *data = NULL;
    size_t size = 0, more;
    if (file == NULL) {
        exit(71);
    }
    do {
        data = (uint8_t *)realloc(data, size + 65536u);
        more = fread(data + size, 1, 65536u, file);
        size += more;
    } while (more > 0u);
    fclose(file);
    *bytes = size;
    return data;
}

void program_input(const char *name, void *data, size_t bytes) {
    (void)name;
    if (fread(data, 1, bytes, stdin) != bytes) {
        exit(72);
    }
}

void program_output(const char *name, const void *data, size_t bytes) {
    (void)name;
    fwrite(data, 1, bytes, stdout);
}

static void tell(const char *name, uint64_t value) {
    printf("%s %" PRIu64 "\n", name, value);
}

static void open_memory(uint32_t address) {
    program_address = address;
    harness_open(address, INTAGLIO_MEMORY_BYTES, 7);
}

/* A device with the image and the inputs in place; ends the process if it says no. */
static void prepare(intaglio_device *device) {
    const uint8_t *from = elements;
    uint32_t i;
    if (intaglio_open(device, &plain_port, &intaglio_network, harness_memory(), program_address) != INTAGLIO_OK ||
        intaglio_load(device, program_image, INTAGLIO_IMAGE_BYTES) != INTAGLIO_OK) {
        exit(73);
    }
    for (i = 0; i < INTAGLIO_INPUTS; ++i) {
        intaglio_write(device, &intaglio_inputs[i], from);
        from += intaglio_inputs[i].elements;
    }
}

/* A checksum of the outputs' elements. */
static uint64_t outputs(const intaglio_device *device) {
    uint64_t sum = 0;
    uint32_t i, k;
    for (i = 0; i < INTAGLIO_OUTPUTS; ++i) {
        uint8_t *data = (uint8_t *)malloc(intaglio_outputs[i].elements);
        intaglio_read(device, &intaglio_outputs[i], data);
        for (k = 0; k < intaglio_outputs[i].elements; ++k) {
            sum = (sum * 31u + data[k]) % 1000000007u;
        }
        free(data);
    }
    return sum;
}

static void run(intaglio_device *device, const char *name) {
    if (intaglio_start(device, 0) != INTAGLIO_OK || intaglio_wait(device, UINT32_MAX) != INTAGLIO_OK) {
        exit(74);
    }
    tell(name, outputs(device));
}

static void stopped(intaglio_device *device) {
    tell("wait", intaglio_wait(device, UINT32_MAX));
    tell("code", device->error_code);
    tell("address", device->error_address);
}

/* Twice without a reset, then its counters. */
static void case_twice(void) {
    intaglio_device device;
    open_memory(0x40001000u);
    prepare(&device);
    tell("not_started", intaglio_wait(&device, 1));
    run(&device, "outputs");
    tell("cycles", intaglio_cycles(&device));
    tell("macs", intaglio_counter(&device, INTAGLIO_REG_MACS_LOW));
    tell("image", intaglio_check_image(&device));
    run(&device, "outputs_again");
    tell("cycles_again", intaglio_cycles(&device));
}

/* The memory at the highest addresses that there are. */
static void case_high(void) {
    intaglio_device device;
    open_memory((uint32_t)(0x100000000u - (INTAGLIO_MEMORY_BYTES + 4095u) / 4096u * 4096u));
    prepare(&device);
    run(&device, "outputs");
}

static void case_identity(void) {
    const uint32_t address = 0x40001000u;
    intaglio_program other;
    intaglio_device device;
    void *memory;
    uint8_t *image = (uint8_t *)malloc(INTAGLIO_IMAGE_BYTES);
    unsigned before;
    open_memory(address);
    memory = harness_memory();
    memcpy(&other, &intaglio_network, sizeof other);
    other.hash_high ^= 1u;
    tell("hash", intaglio_open(&device, &plain_port, &other, memory, address));
    memcpy(&other, &intaglio_network, sizeof other);
    other.version += 1u;
    tell("version", intaglio_open(&device, &plain_port, &other, memory, address));
    tell("unaligned", intaglio_open(&device, &plain_port, &intaglio_network, memory, address + 2048u));
    tell("beyond", intaglio_open(&device, &plain_port, &intaglio_network, memory, 0xFFFFF000u));
    tell("good", intaglio_open(&device, &plain_port, &intaglio_network, memory, address));
    tell("no_image", intaglio_check_image(&device));
    memcpy(image, program_image, INTAGLIO_IMAGE_BYTES);
    image[INTAGLIO_IMAGE_BYTES / 2u] ^= 16u;
    tell("bad_image", intaglio_load(&device, image, INTAGLIO_IMAGE_BYTES));
    tell("short_image", intaglio_load(&device, image, INTAGLIO_IMAGE_BYTES - 1u));
    before = harness_accesses();
    tell("image", intaglio_load(&device, program_image, INTAGLIO_IMAGE_BYTES));
    tell("accesses", harness_accesses() - before);
}

static uint32_t nothing_there(void *context, uint32_t offset) {
    (void)context;
    (void)offset;
    return UINT32_MAX;
}

static void case_absent(void) {
    static const intaglio_port port = {nothing_there, harness_write, NULL, NULL, NULL, NULL};
    intaglio_device device;
    tell("open", intaglio_open(&device, &port, &intaglio_network, NULL, 0));
}

/* Too few polls; nothing but waiting is possible meanwhile. */
static void case_timeout(void) {
    intaglio_device device, second;
    open_memory(0x40001000u);
    prepare(&device);
    tell("start", intaglio_start(&device, 0));
    tell("wait", intaglio_wait(&device, 3));
    tell("start_again", intaglio_start(&device, 0));
    tell("load", intaglio_load(&device, program_image, INTAGLIO_IMAGE_BYTES));
    tell("watchdog", intaglio_set_watchdog(&device, 5));
    tell("open", intaglio_open(&second, &plain_port, &intaglio_network, harness_memory(), program_address));
    tell("wait_again", intaglio_wait(&device, UINT32_MAX));
    tell("outputs", outputs(&device));
}

static unsigned idled;

static void sleep_until_interrupt(void *context) {
    (void)context;
    ++idled;
    harness_interrupt(100000000u);
}

static void case_interrupt(void) {
    static const intaglio_port port = {harness_read, harness_write, NULL, NULL, sleep_until_interrupt, NULL};
    intaglio_device device;
    open_memory(0x40001000u);
    prepare(&device);
    tell("early", (uint64_t)intaglio_acknowledge(&device));
    tell("start", intaglio_start(&device, 1));
    tell("rose", (uint64_t)harness_interrupt(100000000u));
    tell("mine", (uint64_t)intaglio_acknowledge(&device));
    tell("high_after", (uint64_t)harness_interrupt(1000));
    tell("mine_again", (uint64_t)intaglio_acknowledge(&device));
    tell("wait", intaglio_wait(&device, 1));
    tell("outputs", outputs(&device));
    /* Waiting with an idle that sleeps; then without the interrupt. */
    device.port = &port;
    tell("start_idle", intaglio_start(&device, 1));
    tell("wait_idle", intaglio_wait(&device, 2));
    tell("idled", idled);
    device.port = &plain_port;
    tell("start_off", intaglio_start(&device, 0));
    tell("high_off", (uint64_t)harness_interrupt(2000));
    tell("wait_off", intaglio_wait(&device, UINT32_MAX));
    tell("high_end", (uint64_t)harness_interrupt(1000));
}

/* A base where there is no memory, then the right one. */
static void case_bus_error(void) {
    intaglio_device device;
    intaglio_result busy;
    open_memory(0x40001000u);
    prepare(&device);
    tell("open", intaglio_open(&device, &plain_port, &intaglio_network, harness_memory(), 0x80000000u));
    tell("start", intaglio_start(&device, 1));
    stopped(&device);
    tell("interrupt", (uint64_t)harness_interrupt(1));
    do {
        prepare(&device);
        busy = intaglio_start(&device, 0);
    } while (busy == INTAGLIO_BUSY);
    tell("recovered", intaglio_wait(&device, UINT32_MAX));
    tell("code_after", device.error_code);
    tell("outputs", outputs(&device));
}

/* A byte of the program that changed after the check. */
static void case_bad_program(void) {
    intaglio_device device;
    open_memory(0x40001000u);
    prepare(&device);
    ((uint8_t *)harness_memory())[INTAGLIO_PROGRAM_OFFSET] = 0xFF;
    ((uint8_t *)harness_memory())[INTAGLIO_PROGRAM_OFFSET + 1u] = 0xFF;
    tell("start", intaglio_start(&device, 0));
    stopped(&device);
    tell("image", intaglio_check_image(&device));
}

/* A bus that stops answering. */
static void case_watchdog(void) {
    intaglio_device device;
    open_memory(0x40001000u);
    prepare(&device);
    tell("set", intaglio_set_watchdog(&device, 3000));
    tell("start", intaglio_start(&device, 0));
    tell("running", intaglio_wait(&device, 20));
    harness_stall(1);
    stopped(&device);
    tell("blocked", intaglio_start(&device, 0));
    harness_stall(0);
    while (intaglio_start(&device, 0) == INTAGLIO_BUSY) {
    }
    tell("recovered", intaglio_wait(&device, UINT32_MAX));
    tell("outputs", outputs(&device));
}

/* A run that is stopped at some moment, then one that is not. */
static void case_stop(void) {
    intaglio_device device;
    unsigned polls, stopped_runs = 0, drained_late = 0;
    intaglio_result result;
    open_memory(0x40001000u);
    prepare(&device);
    tell("idle", intaglio_stop(&device, 1));
    for (polls = 1; polls < 60u; polls += 3u) {
        prepare(&device);
        if (intaglio_start(&device, 1) != INTAGLIO_OK) {
            exit(77);
        }
        if (intaglio_wait(&device, polls) != INTAGLIO_TIMEOUT) {
            break;
        }
        for (result = intaglio_stop(&device, 1); result == INTAGLIO_TIMEOUT; result = intaglio_stop(&device, 1)) {
            ++drained_late;
        }
        if (result != INTAGLIO_OK || intaglio_wait(&device, 1) != INTAGLIO_STOPPED ||
            device.error_code != INTAGLIO_ERROR_STOPPED || harness_interrupt(2000) != 0) {
            exit(78);
        }
        ++stopped_runs;
    }
    tell("stopped_runs", stopped_runs);
    tell("drained_late", drained_late > 0u);
    prepare(&device);
    run(&device, "outputs");
    tell("done", intaglio_stop(&device, 1));
    tell("wait", intaglio_wait(&device, 1));
    tell("image", intaglio_check_image(&device));
}

int main(int count, char **words) {
    static const struct {
        const char *name;
        void (*run)(void);
    } cases[] = {{"twice", case_twice},         {"high", case_high},           {"identity", case_identity},
                 {"absent", case_absent},       {"timeout", case_timeout},     {"interrupt", case_interrupt},
                 {"bus_error", case_bus_error}, {"bad_program", case_bad_program}, {"watchdog", case_watchdog},
                 {"stop", case_stop}};
    size_t i, bytes;
    int status;
    if (count != 4) {
        return 75;
    }
    program_image = file_content(words[2], &bytes);
    if (strcmp(words[1], "example") == 0) {
        program_runs = (unsigned)atoi(words[3]);
        open_memory(0x40001000u);
        harness_separate_caches();
        status = example_main();
        harness_close();
        return status;
    }
    elements = (uint8_t *)file_content(words[3], &bytes);
    for (i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        if (strcmp(words[1], cases[i].name) == 0) {
            cases[i].run();
            return 0;
        }
    }
    return 76;
}
