// The accelerator's clock, its external memory's data and its registers, between Verilator's model and Python.
//
// Python opens a model, writes registers, lets it run, reads registers and events, and closes it. The times of
// the external memory are those of a model in intaglio/sim/memory: its compiled step is called through a pointer, its
// outputs are read from its state (indices in memory_indices.h, made from port.py).
//
// A cycle: inputs from the memory's outputs, settle, look, step the memory, rising edge.

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "Vintaglio.h"
#include "memory_indices.h"
#include "verilated.h"
#if VM_TRACE_FST
#include "verilated_fst_c.h"
using Waves = VerilatedFstC;
#elif VM_TRACE
#include "verilated_vcd_c.h"
using Waves = VerilatedVcdC;
#endif

namespace {

using Step = void (*)(int64_t *state, int64_t ar_valid, int64_t aw_valid, int64_t address, int64_t beats, int64_t w_valid,
                      int64_t r_ready, int64_t b_ready);

constexpr int kEngines = 3;
constexpr int kTagBits = 16;
constexpr int kResetCycles = 4;
constexpr int kLiteTimeout = 1000;  // cycles in which a register access must be answered
constexpr uint64_t kPage = 4096;    // no burst crosses a multiple of it

struct Model {
    VerilatedContext context;
    Vintaglio top{&context};
#if VM_TRACE
    Waves waves;
#endif
    int64_t *state;
    Step step;
    uint8_t *memory;
    int64_t base, size;
    int64_t cycle = 0;            // cycles with `counting` so far: the number of the next
    uint64_t time = 0;            // half cycles since opening
    std::vector<int64_t> events;  // cycle, engine, tag of each retirement
    std::string fault;            // what broke the bus's rules, or empty

    static constexpr int64_t kBus = sizeof(top.m_axi_rdata);

    void settle(int clock) {
        top.clk = clock;
        top.eval();
#if VM_TRACE
        if (waves.isOpen()) waves.dump(time);
#endif
        ++time;
    }

    void hold_reset(bool held) {
#if INTAGLIO_ARESETN
        top.aresetn = !held;
#else
        top.rst = held;
#endif
    }

    void reset() {
        hold_reset(true);
        for (int i = 0; i < kResetCycles; ++i) {
            settle(0);
        settle(1);
        }
        hold_reset(false);
    }

    bool interrupted() const { return top.irq; }

    // The bytes of the beat at an address; null where there are none.
    uint8_t *bytes_at(int64_t address) {
        int64_t offset = address - base;
        return offset >= 0 && offset + kBus <= size ? memory + offset : nullptr;
    }

    void drive() {
        const int64_t *s = state;
        top.m_axi_arready = top.m_axi_awready = s[REQUEST_READY];
        top.m_axi_rvalid = s[R_VALID];
        if (s[R_VALID]) {
            top.m_axi_rlast = s[R_LAST];
            top.m_axi_rresp = s[R_RESPONSE];
            if (const uint8_t *from = bytes_at(s[R_ADDRESS]))
                std::memcpy(&top.m_axi_rdata, from, kBus);
            else
                std::memset(&top.m_axi_rdata, 0, kBus);
        }
        top.m_axi_wready = s[W_READY];
        top.m_axi_bvalid = s[B_VALID];
        top.m_axi_bresp = s[B_RESPONSE];
    }

    void check_request(uint64_t address, uint64_t beats, int size_log2, int burst) {
        if ((int64_t{1} << size_log2) != kBus || burst != 1)
            fault = "a burst that is not INCR of whole bus words";
        else if (address % kBus != 0)
            fault = "a burst that is not aligned to the bus";
        else if (address / kPage != (address + beats * kBus - 1) / kPage)
            fault = "a burst across 4 KiB";
    }

    void take_write() {
        uint64_t strobes = top.m_axi_wstrb;
        uint8_t *to = bytes_at(state[W_ADDRESS]);
        if (bool(top.m_axi_wlast) != bool(state[W_LAST])) fault = "wlast at the wrong beat";
        if (!to) return;
        const auto *from = reinterpret_cast<const uint8_t *>(&top.m_axi_wdata);
        for (int i = 0; i < kBus; ++i)
            if (strobes >> i & 1) to[i] = from[i];
    }

    void tick() {
        drive();
        settle(0);
        const bool ar = top.m_axi_arvalid, aw = top.m_axi_awvalid;
        if (ar && aw) fault = "a read and a write requested in one cycle";
        const uint64_t address = ar ? top.m_axi_araddr : top.m_axi_awaddr;
        const uint64_t beats = 1 + (ar ? top.m_axi_arlen : top.m_axi_awlen);
        if (ar) check_request(address, beats, top.m_axi_arsize, top.m_axi_arburst);
        if (aw) check_request(address, beats, top.m_axi_awsize, top.m_axi_awburst);
        if (top.m_axi_wvalid && state[W_READY]) take_write();
        if (top.counting) {
            for (int e = 0; e < kEngines; ++e)
                if (top.retire >> e & 1) {
                    const uint64_t tag = top.tags >> (kTagBits * e) & ((1u << kTagBits) - 1);
                    events.insert(events.end(), {cycle, e, int64_t(tag)});
                }
            ++cycle;
        }
        // Before the first run nothing is asked of the memory, and its cycle 0 is the run's: a model may depend on the time.
        if (cycle > 0) step(state, ar, aw, address, beats, top.m_axi_wvalid, top.m_axi_rready, top.m_axi_bready);
        settle(1);
    }

    // One register access; the response, or -1 if none came. Outputs of the slave come from registers.
    int write(uint32_t offset, uint32_t value) {
        top.s_axi_awaddr = offset;
        top.s_axi_wdata = value;
        top.s_axi_wstrb = 15;
        top.s_axi_awvalid = top.s_axi_wvalid = top.s_axi_bready = 1;
        for (int i = 0; i < kLiteTimeout; ++i) {
            const bool aw = top.s_axi_awready, w = top.s_axi_wready, b = top.s_axi_bvalid;
            const int response = top.s_axi_bresp;
            tick();
            if (aw) top.s_axi_awvalid = 0;
            if (w) top.s_axi_wvalid = 0;
            if (b) return response;
        }
        return -1;
    }

    int read(uint32_t offset, uint32_t *value) {
        top.s_axi_araddr = offset;
        top.s_axi_arvalid = top.s_axi_rready = 1;
        for (int i = 0; i < kLiteTimeout; ++i) {
            const bool ar = top.s_axi_arready, r = top.s_axi_rvalid;
            const int response = top.s_axi_rresp;
            *value = top.s_axi_rdata;
            tick();
            if (ar) top.s_axi_arvalid = 0;
            if (r) return response;
        }
        return -1;
    }
};

}  // namespace

extern "C" {

// state: of the memory model, reset. memory: `size` bytes that stand at address `base`. waves: a file, or null.
// All outlive the model.
Model *intaglio_open(int64_t *state, Step step, uint8_t *memory, int64_t base, int64_t size, const char *waves) {
    auto model = std::make_unique<Model>();
    model->state = state;
    model->step = step;
    model->memory = memory;
    model->base = base;
    model->size = size;
#if VM_TRACE
    if (waves) {
        model->context.traceEverOn(true);
        model->top.trace(&model->waves, 99);
        model->waves.open(waves);
    }
#else
    (void)waves;
#endif
    model->reset();
    return model.release();
}

int intaglio_write(Model *m, uint32_t offset, uint32_t value) { return m->write(offset, value); }

int intaglio_read(Model *m, uint32_t offset, uint32_t *value) { return m->read(offset, value); }

// Runs up to `cycles` cycles. 1: the interrupt is high, 0: not yet, -1: the bus's rules are broken.
int intaglio_advance(Model *m, int64_t cycles) {
    for (; cycles > 0 && !m->interrupted(); --cycles) {
        m->tick();
        if (!m->fault.empty()) return -1;
    }
    return m->interrupted();
}

// What broke the bus's rules, or "".
const char *intaglio_fault(Model *m) { return m->fault.c_str(); }

// Retirements so far, three numbers each: cycle, engine, tag. Valid until the next advance.
int64_t intaglio_events(Model *m, const int64_t **events) {
    *events = m->events.data();
    return int64_t(m->events.size()) / 3;
}

int64_t intaglio_cycles(Model *m) { return m->cycle; }

void intaglio_close(Model *m) {
#if VM_TRACE
    if (m->waves.isOpen()) m->waves.close();
#endif
    m->top.final();
    delete m;
}
}
