/* Turns the exported main.c into a program for the harness (program.c). */
#ifndef BOARD_H
#define BOARD_H

#include "intaglio.h"

extern const intaglio_port program_port;
extern const void *program_image;
extern uint32_t program_address;
extern unsigned program_runs;
void *harness_memory(void);
void program_input(const char *name, void *data, size_t bytes);
void program_output(const char *name, const void *data, size_t bytes);

#define BOARD_PORT (&program_port)
#define BOARD_MEMORY harness_memory()
#define BOARD_MEMORY_ADDRESS program_address
#define BOARD_IMAGE program_image
#define BOARD_RUNS program_runs
#ifndef BOARD_KNOWN /* with it the example takes its known inputs */
#define BOARD_INPUT(name, data, bytes) program_input(name, data, bytes)
#define BOARD_OUTPUT(name, data, bytes) program_output(name, data, bytes)
#endif
#define main example_main

#endif
