// See harness.h. A plain AXI4 memory, written apart from the simulators' own: reads and writes are independent, every
// channel pauses at random, responses come in order. What breaks AXI's rules ends the process with a message.

#include "harness.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <vector>

#include "Vintaglio.h"
#include "verilated.h"

namespace {

constexpr int kOkay = 0, kSlaveError = 2, kLatency = 12;

struct Burst {
    uint64_t address;
    unsigned beats;
    uint64_t due;  // cycle of the first beat at the earliest
    bool bad = false;
};

struct Bus {
    VerilatedContext context;
    Vintaglio top{&context};
    std::vector<uint8_t> seen, cached;  // by the accelerator; by the processor, if apart
    uint32_t base;
    uint32_t noise;
    uint64_t cycle = 0;
    unsigned accesses = 0;
    bool stalled = false;
    std::deque<Burst> reads, writes;
    std::deque<std::pair<uint64_t, int>> responses;
    std::deque<std::vector<uint8_t>> words;  // written before their address came
    std::deque<bool> lasts;

    static constexpr unsigned kWord = sizeof(top.m_axi_rdata);

    [[noreturn]] void fail(const char *what) {
        std::fprintf(stderr, "harness: %s in cycle %llu\n", what, static_cast<unsigned long long>(cycle));
        std::exit(70);
    }

    uint32_t random() {
        noise = noise * 1664525u + 1013904223u;
        return noise >> 16;
    }

    uint8_t *at(uint64_t address) {
        return address >= base && address + kWord <= base + seen.size() ? &seen[address - base] : nullptr;
    }

    Burst request(uint32_t address, unsigned beats, unsigned size, unsigned burst) {
        if (1u << size != kWord || burst != 1 || address % kWord) fail("a burst that is not INCR of aligned bus words");
        if (address / 4096 != (address + beats * kWord - 1) / 4096) fail("a burst across 4 KiB");
        return {address, beats, cycle + kLatency};
    }

    void tick() {
        // Outputs of the memory for this cycle, decided before it.
        top.m_axi_arready = !stalled && random() % 4 != 0;
        top.m_axi_awready = !stalled && random() % 4 != 0;
        top.m_axi_wready = !stalled && random() % 4 != 0;
        const bool r = !stalled && !reads.empty() && cycle >= reads.front().due && random() % 8 != 0;
        const bool b = !stalled && !responses.empty() && cycle >= responses.front().first;
        top.m_axi_rvalid = r;
        if (r) {
            const uint8_t *from = at(reads.front().address);
            if (from) std::memcpy(&top.m_axi_rdata, from, kWord);
            top.m_axi_rresp = from ? kOkay : kSlaveError;
            top.m_axi_rlast = reads.front().beats == 1;
        }
        top.m_axi_bvalid = b;
        if (b) top.m_axi_bresp = responses.front().second;
        top.clk = 0;
        top.eval();

        // Handshakes of this cycle.
        if (r && top.m_axi_rready) {
            reads.front().address += kWord;
            if (--reads.front().beats == 0) reads.pop_front();
        }
        if (b && top.m_axi_bready) responses.pop_front();
        if (top.m_axi_arvalid && top.m_axi_arready)
            reads.push_back(request(top.m_axi_araddr, top.m_axi_arlen + 1u, top.m_axi_arsize, top.m_axi_arburst));
        if (top.m_axi_awvalid && top.m_axi_awready)
            writes.push_back(request(top.m_axi_awaddr, top.m_axi_awlen + 1u, top.m_axi_awsize, top.m_axi_awburst));
        if (top.m_axi_wvalid && top.m_axi_wready) {
            const auto *from = reinterpret_cast<const uint8_t *>(&top.m_axi_wdata);
            const uint64_t all = kWord == 64 ? ~uint64_t{0} : (uint64_t{1} << kWord) - 1;
            if (top.m_axi_wstrb != all) fail("a write of part of a word");
            words.emplace_back(from, from + kWord);
            lasts.push_back(top.m_axi_wlast);
        }
        while (!writes.empty() && !words.empty()) {
            Burst &burst = writes.front();
            if (uint8_t *to = at(burst.address))
                std::memcpy(to, words.front().data(), kWord);
            else
                burst.bad = true;
            burst.address += kWord;
            --burst.beats;
            if (lasts.front() != (burst.beats == 0)) fail("wlast at the wrong beat");
            words.pop_front();
            lasts.pop_front();
            if (burst.beats == 0) {
                responses.emplace_back(cycle + kLatency, burst.bad ? kSlaveError : kOkay);
                writes.pop_front();
            }
        }
        top.clk = 1;
        top.eval();
        ++cycle;
    }
};

std::unique_ptr<Bus> bus;

}  // namespace

void harness_open(uint32_t address, size_t bytes, uint32_t seed) {
    bus = std::make_unique<Bus>();
    bus->base = address;
    bus->noise = seed;
    bus->seen.resize(bytes);
    for (uint8_t &byte : bus->seen) byte = static_cast<uint8_t>(bus->random());
    bus->top.rst = 1;
    for (int i = 0; i < 4; ++i) bus->tick();
    bus->top.rst = 0;
}

void harness_close(void) {
    bus->top.final();
    bus.reset();
}

void *harness_memory(void) { return bus->cached.empty() ? bus->seen.data() : bus->cached.data(); }

uint32_t harness_read(void *, uint32_t offset) {
    ++bus->accesses;
    bus->top.s_axi_araddr = offset;
    bus->top.s_axi_arvalid = bus->top.s_axi_rready = 1;
    // A counter that is read right after the end waits for its turn, 172 cycles at most (docs/registers.md).
    for (int i = 0; i < 300; ++i) {
        const bool taken = bus->top.s_axi_arready, answered = bus->top.s_axi_rvalid;
        const uint32_t value = bus->top.s_axi_rdata;
        const int response = bus->top.s_axi_rresp;
        bus->tick();
        if (taken) bus->top.s_axi_arvalid = 0;
        if (answered && response != kOkay) bus->fail("a register that cannot be read");
        if (answered) return value;
    }
    bus->fail("no answer to a register's read");
}

void harness_write(void *, uint32_t offset, uint32_t value) {
    ++bus->accesses;
    bus->top.s_axi_awaddr = offset;
    bus->top.s_axi_wdata = value;
    bus->top.s_axi_wstrb = 15;
    bus->top.s_axi_awvalid = bus->top.s_axi_wvalid = bus->top.s_axi_bready = 1;
    for (int i = 0; i < 100; ++i) {
        const bool address = bus->top.s_axi_awready, data = bus->top.s_axi_wready, answered = bus->top.s_axi_bvalid;
        const int response = bus->top.s_axi_bresp;
        bus->tick();
        if (address) bus->top.s_axi_awvalid = 0;
        if (data) bus->top.s_axi_wvalid = 0;
        if (answered && response != kOkay) bus->fail("a refused write of a register");
        if (answered) return;
    }
    bus->fail("no answer to a register's write");
}

unsigned harness_accesses(void) { return bus->accesses; }

int harness_interrupt(unsigned cycles) {
    while (cycles-- > 0 && !bus->top.irq) bus->tick();
    return bus->top.irq;
}

void harness_stall(int stalled) { bus->stalled = stalled != 0; }

void harness_separate_caches(void) {
    bus->cached.resize(bus->seen.size());
    for (uint8_t &byte : bus->cached) byte = static_cast<uint8_t>(bus->random());
}

void harness_flush(void *, const void *begin, size_t bytes) {
    const size_t offset = static_cast<const uint8_t *>(begin) - bus->cached.data();
    if (offset + bytes > bus->cached.size()) bus->fail("a flush beyond the memory");
    std::memcpy(&bus->seen[offset], &bus->cached[offset], bytes);
}

void harness_invalidate(void *, const void *begin, size_t bytes) {
    const size_t offset = static_cast<const uint8_t *>(begin) - bus->cached.data();
    if (offset + bytes > bus->cached.size()) bus->fail("an invalidation beyond the memory");
    std::memcpy(&bus->cached[offset], &bus->seen[offset], bytes);
}
