// SPDX-License-Identifier: Apache-2.0
//
// One inference with known inputs on the accelerator, its outputs compared with those of Intaglio's host engine. Prints a
// line that begins with PASS, or lines that begin with FAIL. `make sim` runs it; testbench.vh has the network's constants.
//
// The memory keeps to the configuration's rate, latency and bursts in flight, so the cycles are compared too. With
// +pauses every channel of it pauses at random instead, and cycles are only told.
`timescale 1ns / 1ps

module testbench;
    `include "testbench.vh"

    reg clk = 1'b0;
    reg rst = 1'b1;
    always #(HALF_PERIOD) clk = ~clk;
    localparam integer LONGEST_ACCESS = 1000; // cycles

    wire [31:0] m_axi_awaddr, m_axi_araddr;
    wire [7:0] m_axi_awlen, m_axi_arlen;
    wire [2:0] m_axi_awsize, m_axi_arsize;
    wire [1:0] m_axi_awburst, m_axi_arburst, m_axi_bresp, m_axi_rresp;
    wire m_axi_awvalid, m_axi_awready, m_axi_arvalid, m_axi_arready;
    wire [8*BUS_BYTES-1:0] m_axi_wdata, m_axi_rdata;
    wire [BUS_BYTES-1:0] m_axi_wstrb;
    wire m_axi_wlast, m_axi_wvalid, m_axi_wready;
    wire m_axi_bvalid, m_axi_bready;
    wire m_axi_rlast, m_axi_rvalid, m_axi_rready;

    reg [11:0] s_axi_awaddr = 12'h0, s_axi_araddr = 12'h0;
    reg [31:0] s_axi_wdata = 32'h0;
    reg s_axi_awvalid = 1'b0, s_axi_wvalid = 1'b0, s_axi_arvalid = 1'b0;
    wire s_axi_awready, s_axi_wready, s_axi_bvalid, s_axi_arready, s_axi_rvalid;
    wire [1:0] s_axi_bresp, s_axi_rresp;
    wire [31:0] s_axi_rdata;
    wire irq, counting;
    reg [31:0] cycles = 32'd0;
    always @(posedge clk) if (counting) cycles <= cycles + 32'd1;

    intaglio accelerator (
        .clk(clk), `INTAGLIO_RESET(rst),
        .m_axi_awid(), .m_axi_awaddr(m_axi_awaddr), .m_axi_awlen(m_axi_awlen), .m_axi_awsize(m_axi_awsize),
        .m_axi_awburst(m_axi_awburst), .m_axi_awlock(), .m_axi_awcache(), .m_axi_awprot(), .m_axi_awqos(),
        .m_axi_awvalid(m_axi_awvalid), .m_axi_awready(m_axi_awready),
        .m_axi_wdata(m_axi_wdata), .m_axi_wstrb(m_axi_wstrb), .m_axi_wlast(m_axi_wlast),
        .m_axi_wvalid(m_axi_wvalid), .m_axi_wready(m_axi_wready),
        .m_axi_bid(1'b0), .m_axi_bresp(m_axi_bresp), .m_axi_bvalid(m_axi_bvalid), .m_axi_bready(m_axi_bready),
        .m_axi_arid(), .m_axi_araddr(m_axi_araddr), .m_axi_arlen(m_axi_arlen), .m_axi_arsize(m_axi_arsize),
        .m_axi_arburst(m_axi_arburst), .m_axi_arlock(), .m_axi_arcache(), .m_axi_arprot(), .m_axi_arqos(),
        .m_axi_arvalid(m_axi_arvalid), .m_axi_arready(m_axi_arready),
        .m_axi_rid(1'b0), .m_axi_rdata(m_axi_rdata), .m_axi_rresp(m_axi_rresp), .m_axi_rlast(m_axi_rlast),
        .m_axi_rvalid(m_axi_rvalid), .m_axi_rready(m_axi_rready),
        .s_axi_awaddr(s_axi_awaddr), .s_axi_awprot(3'b0), .s_axi_awvalid(s_axi_awvalid), .s_axi_awready(s_axi_awready),
        .s_axi_wdata(s_axi_wdata), .s_axi_wstrb(4'hF), .s_axi_wvalid(s_axi_wvalid), .s_axi_wready(s_axi_wready),
        .s_axi_bresp(s_axi_bresp), .s_axi_bvalid(s_axi_bvalid), .s_axi_bready(1'b1),
        .s_axi_araddr(s_axi_araddr), .s_axi_arprot(3'b0), .s_axi_arvalid(s_axi_arvalid), .s_axi_arready(s_axi_arready),
        .s_axi_rdata(s_axi_rdata), .s_axi_rresp(s_axi_rresp), .s_axi_rvalid(s_axi_rvalid), .s_axi_rready(1'b1),
        .irq(irq), .counting(counting), .retire(), .tags()
    );

    testbench_memory #(
        .BUS_BYTES(BUS_BYTES), .WORDS(MEMORY_WORDS), .BASE(BASE), .RATE(RATE), .LATENCY(LATENCY), .OUTSTANDING(OUTSTANDING)
    ) memory (
        .clk(clk), .rst(rst),
        .awaddr(m_axi_awaddr), .awlen(m_axi_awlen), .awsize(m_axi_awsize), .awburst(m_axi_awburst),
        .awvalid(m_axi_awvalid), .awready(m_axi_awready),
        .wdata(m_axi_wdata), .wstrb(m_axi_wstrb), .wlast(m_axi_wlast), .wvalid(m_axi_wvalid), .wready(m_axi_wready),
        .bresp(m_axi_bresp), .bvalid(m_axi_bvalid), .bready(m_axi_bready),
        .araddr(m_axi_araddr), .arlen(m_axi_arlen), .arsize(m_axi_arsize), .arburst(m_axi_arburst),
        .arvalid(m_axi_arvalid), .arready(m_axi_arready),
        .rdata(m_axi_rdata), .rresp(m_axi_rresp), .rlast(m_axi_rlast), .rvalid(m_axi_rvalid), .rready(m_axi_rready)
    );

    reg [7:0] inputs [0:INPUT_BYTES-1];
    reg [7:0] outputs [0:OUTPUT_BYTES-1];
    reg [31:0] status, value;
    reg [1:0] response;
    reg done, address_taken, data_taken;
    integer failures = 0;
    integer tries, waited, index, row, column, at, different;

    initial begin
        // Nothing may depend on what the memory holds beside image and inputs.
        for (index = 0; index < MEMORY_WORDS; index = index + 1) memory.words[index] = {BUS_BYTES{8'hA5 ^ index[7:0]}};
        $readmemh("image.hex", memory.words, 0, IMAGE_WORDS - 1);
        $readmemh("test_inputs.hex", inputs);
        $readmemh("test_outputs.hex", outputs);
        place_inputs;
        repeat (4) @(negedge clk);
        rst = 1'b0;
        expect_register("ID", REG_ID, ID);
        expect_register("VERSION", REG_VERSION, VERSION);
        expect_register("HASH_LOW", REG_HASH_LOW, HASH_LOW);
        expect_register("HASH_HIGH", REG_HASH_HIGH, HASH_HIGH);
        write_register(REG_PROGRAM_ADDRESS, PROGRAM_ADDRESS);
        write_register(REG_PROGRAM_SIZE, PROGRAM_BYTES);
        write_register(REG_BASE_ADDRESS, BASE);
        if (failures == 0) run;
        if (failures == 0 && !memory.broken) begin
            compare_outputs;
            if (cycles != EXPECTED_CYCLES && !memory.pauses) begin
                failures = failures + 1;
                $display("FAIL: %0d cycles, %0d expected", cycles, EXPECTED_CYCLES);
            end
        end
        if (failures == 0 && !memory.broken)
            $display("PASS: %0d bytes of outputs are equal; %0d cycles, %0d expected", OUTPUT_BYTES, cycles, EXPECTED_CYCLES);
        $finish;
    end

    // Starts, waits for the interrupt, looks at the status.
    task run;
        begin
            write_register(REG_CONTROL, CONTROL_START);
            waited = 0;
            while (!irq && !memory.broken && waited < 16 * EXPECTED_CYCLES + 100000) begin
                @(negedge clk);
                waited = waited + 1;
            end
            read_register(REG_STATUS);
            status = value;
            if ((status & STATUS_ERROR) != 0) begin
                read_register(REG_ERROR_ADDRESS);
                failures = failures + 1;
                $display("FAIL: stopped with error %0d, address 0x%08h (README.md has the codes)",
                         (status >> STATUS_ERROR_SHIFT) & 255, value);
            end else if ((status & STATUS_DONE) == 0) begin
                failures = failures + 1;
                $display("FAIL: no interrupt in %0d cycles, status 0x%08h", waited, status);
            end
        end
    endtask

    // The processor's side changes and looks at falling edges, so that no simulator's order of events counts.
    task write_register(input [11:0] offset, input [31:0] to);
        begin
            s_axi_awaddr = offset;
            s_axi_wdata = to;
            s_axi_awvalid = 1'b1;
            s_axi_wvalid = 1'b1;
            done = 1'b0;
            for (tries = 0; !done && tries < LONGEST_ACCESS; tries = tries + 1) begin
                address_taken = s_axi_awvalid && s_axi_awready;
                data_taken = s_axi_wvalid && s_axi_wready;
                done = s_axi_bvalid;
                response = s_axi_bresp;
                @(negedge clk);
                if (address_taken) s_axi_awvalid = 1'b0;
                if (data_taken) s_axi_wvalid = 1'b0;
            end
            if (!done || response != 2'b00) begin
                failures = failures + 1;
                $display("FAIL: the write of register 0x%03h was %0s", offset, done ? "refused" : "not answered");
            end
        end
    endtask

    // Gives `value`.
    task read_register(input [11:0] offset);
        begin
            s_axi_araddr = offset;
            s_axi_arvalid = 1'b1;
            done = 1'b0;
            for (tries = 0; !done && tries < LONGEST_ACCESS; tries = tries + 1) begin
                address_taken = s_axi_arvalid && s_axi_arready;
                done = s_axi_rvalid;
                value = s_axi_rdata;
                response = s_axi_rresp;
                @(negedge clk);
                if (address_taken) s_axi_arvalid = 1'b0;
            end
            if (!done || response != 2'b00) begin
                failures = failures + 1;
                $display("FAIL: the read of register 0x%03h was %0s", offset, done ? "refused" : "not answered");
            end
        end
    endtask

    task expect_register(input [8*16-1:0] name, input [11:0] offset, input [31:0] expected);
        begin
            read_register(offset);
            if (value !== expected) begin
                failures = failures + 1;
                $display("FAIL: register %0s is 0x%08h, expected 0x%08h", name, value, expected);
            end
        end
    endtask

    // A tensor: `first` of its bytes in the file; where its rows lie in memory.
    task place_rows(input [8*84-1:0] name, input integer first, input integer offset, input integer rows,
                    input integer row_bytes, input integer stride);
        for (row = 0; row < rows; row = row + 1)
            for (column = 0; column < row_bytes; column = column + 1) begin
                at = offset + row * stride + column;
                memory.words[at / BUS_BYTES][8 * (at % BUS_BYTES) +: 8] = inputs[first + row * row_bytes + column];
            end
    endtask

    task compare_rows(input [8*84-1:0] name, input integer first, input integer offset, input integer rows,
                      input integer row_bytes, input integer stride);
        begin
            different = 0;
            for (row = 0; row < rows; row = row + 1)
                for (column = 0; column < row_bytes; column = column + 1) begin
                    at = offset + row * stride + column;
                    value[7:0] = memory.words[at / BUS_BYTES][8 * (at % BUS_BYTES) +: 8];
                    if (value[7:0] !== outputs[first + row * row_bytes + column]) begin
                        if (different < 10)
                            $display("FAIL: %0s, row %0d, byte %0d (address 0x%08h): 0x%02h, expected 0x%02h", name, row,
                                     column, BASE + at, value[7:0], outputs[first + row * row_bytes + column]);
                        different = different + 1;
                    end
                end
            if (different > 0) begin
                failures = failures + 1;
                $display("FAIL: %0s: %0d of %0d bytes differ", name, different, rows * row_bytes);
            end
        end
    endtask
endmodule


// A memory on AXI4: one channel of RATE bytes a cycle for reads and writes, LATENCY cycles to a read's first beat and to a
// write's response, OUTSTANDING bursts in flight. Bursts are served in order. What breaks AXI's rules, or the
// accelerator's own (docs in README.md), is told and sets `broken`.
module testbench_memory #(
    parameter integer BUS_BYTES = 8,
    parameter integer WORDS = 1,
    parameter [31:0] BASE = 32'h0,
    parameter integer RATE = 8,
    parameter integer LATENCY = 1,
    parameter integer OUTSTANDING = 1
) (
    input wire clk,
    input wire rst,
    input wire [31:0] awaddr,
    input wire [7:0] awlen,
    input wire [2:0] awsize,
    input wire [1:0] awburst,
    input wire awvalid,
    output reg awready,
    input wire [8*BUS_BYTES-1:0] wdata,
    input wire [BUS_BYTES-1:0] wstrb,
    input wire wlast,
    input wire wvalid,
    output reg wready,
    output wire [1:0] bresp,
    output reg bvalid,
    input wire bready,
    input wire [31:0] araddr,
    input wire [7:0] arlen,
    input wire [2:0] arsize,
    input wire [1:0] arburst,
    input wire arvalid,
    output reg arready,
    output reg [8*BUS_BYTES-1:0] rdata,
    output wire [1:0] rresp,
    output reg rlast,
    output reg rvalid,
    input wire rready
);
    localparam integer RING = 16; // at least OUTSTANDING

    reg [8*BUS_BYTES-1:0] words [0:WORDS-1];
    reg pauses = 1'b0;
    reg broken = 1'b0;
    initial if ($test$plusargs("pauses")) pauses = 1'b1;

    assign bresp = 2'b00;
    assign rresp = 2'b00;

    // Bursts by number, in rings: `head` has the channel, `tail` comes next. Responses the same.
    reg is_write [0:RING-1];
    reg [31:0] word [0:RING-1];
    integer beats [0:RING-1];
    reg [63:0] accepted [0:RING-1];
    reg [63:0] answer [0:RING-1];
    integer head, tail, beat, b_head, b_tail, in_flight, slot;
    reg [63:0] now, due; // a beat is possible once now * RATE >= due
    reg [31:0] noise;
    reg r_taken, w_taken, possible;

    // A request that was not taken stays as it is.
    reg ar_waits, aw_waits;
    reg [31:0] ar_address, aw_address;
    reg [7:0] ar_length, aw_length;

    task rule(input good, input [8*64-1:0] what);
        if (!good) begin
            broken = 1'b1;
            $display("FAIL: the bus: %0s, at %0t", what, $time);
        end
    endtask

    task request(input write, input [31:0] address, input [7:0] length, input [2:0] size, input [1:0] burst);
        begin
            rule((32'd1 << size) == BUS_BYTES && burst == 2'b01, "a burst that is not INCR of whole bus words");
            rule(address % BUS_BYTES == 0, "a burst that is not aligned to the bus");
            rule((address & 32'hFFF) + (length + 1) * BUS_BYTES <= 4096, "a burst across 4 KiB");
            rule(address >= BASE && (address - BASE) / BUS_BYTES + length < WORDS, "a burst outside of the network's memory");
            slot = tail % RING;
            is_write[slot] = write;
            word[slot] = (address - BASE) / BUS_BYTES;
            beats[slot] = length + 1;
            accepted[slot] = now;
            tail = tail + 1;
            in_flight = in_flight + 1;
        end
    endtask

    always @(posedge clk)
        if (rst) begin
            head = 0; tail = 0; beat = 0; b_head = 0; b_tail = 0; in_flight = 0;
            now = 0; due = 0; noise = 32'h2545F491;
            ar_waits = 1'b0; aw_waits = 1'b0;
            arready <= 1'b0; awready <= 1'b0; wready <= 1'b0; rvalid <= 1'b0; rlast <= 1'b0; bvalid <= 1'b0;
        end else if (!broken) begin
            // This cycle's handshakes.
            r_taken = rvalid && rready;
            w_taken = wready && wvalid;
            rule(!ar_waits || (arvalid && araddr == ar_address && arlen == ar_length), "a read request that changes");
            rule(!aw_waits || (awvalid && awaddr == aw_address && awlen == aw_length), "a write request that changes");
            ar_waits = arvalid && !arready; ar_address = araddr; ar_length = arlen;
            aw_waits = awvalid && !awready; aw_address = awaddr; aw_length = awlen;
            if (bvalid && bready) begin
                b_head = b_head + 1;
                in_flight = in_flight - 1;
            end
            slot = head % RING;
            if (r_taken || w_taken) begin
                // Fractions of a cycle carry over where the beat was taken in the first cycle possible.
                due = (now * RATE < due + RATE ? due : now * RATE) + BUS_BYTES;
                if (w_taken) begin
                    rule(&wstrb, "a write of part of a word");
                    rule(wlast == (beat + 1 == beats[slot]), "wlast at the wrong beat");
                    words[word[slot] + beat] = wdata;
                end
                beat = beat + 1;
                if (beat == beats[slot]) begin
                    if (w_taken) begin
                        answer[b_tail % RING] = now + LATENCY;
                        b_tail = b_tail + 1;
                    end else in_flight = in_flight - 1;
                    head = head + 1;
                    beat = 0;
                end
            end
            rule(!(arvalid && awvalid), "a read and a write requested in one cycle");
            if (arvalid && arready) request(1'b0, araddr, arlen, arsize, arburst);
            if (awvalid && awready) request(1'b1, awaddr, awlen, awsize, awburst);
            now = now + 1;
            noise = noise ^ (noise << 13);
            noise = noise ^ (noise >> 17);
            noise = noise ^ (noise << 5);

            // The next cycle's outputs. What was offered and not taken stays.
            arready <= in_flight < OUTSTANDING && !(pauses && noise[1:0] == 0);
            awready <= in_flight < OUTSTANDING && !(pauses && noise[3:2] == 0);
            slot = head % RING;
            possible = head < tail && now * RATE >= due && (!pauses || noise[6:4] != 0 || (rvalid && !r_taken));
            wready <= possible && is_write[slot];
            rvalid <= possible && !is_write[slot] && now >= accepted[slot] + LATENCY;
            rlast <= beat + 1 == beats[slot];
            if (possible && !is_write[slot]) rdata <= words[word[slot] + beat];
            bvalid <= b_head < b_tail && now >= answer[b_head % RING];
        end
endmodule
