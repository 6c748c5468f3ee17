"""The feed of the array's rows: what the activation memory returns becomes one stream of bytes for each row, row r one
cycle behind row r - 1."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from intaglio.hw.array import StepControl
from intaglio.hw.feed_step import FeedRequest
from intaglio.hw.pipeline import delay, register
from intaglio.hw.row_delay import DelayLine, DelaySchedule
from intaglio.machine import latency
from intaglio.machine.config import Config


class FeedRows(wiring.Component):
    """The rows' bytes, each row's one after the other.

    Ports
    -----
    request : In, FeedRequest
        As given to the activation memory.
    read_data : In, feed_bytes bytes
        latency.ACTIVATION_READ cycles after its request.
    zero_point : In, signed 8
        What padding is; stable while rows are fetched.
    control : In, StepControl
        Row 0's, in the cycle in which row 0 shows byte 0, latency.FEED_ROWS cycles after read_data; delayed by r for
        row r here.
    pixels : In, ceil_log2(rows + 1) bits
        Rows in use, with control.
    activation[r] : Out, signed 8
        Row r's byte.
    control_out[r] : Out, StepControl
        Row r's, with its byte.
    delays : In, DelaySchedule; only with depthwise_delay
        How long control takes from row to row in place of one cycle.
    bus[c] : Out, signed 8; only with depthwise_delay
        Byte c of a request (0 beyond feed_bytes) in the cycle in which row 0 would show its byte 0.

    No flow control: a row is filled again only after its bytes have left (slot_cycles >= chunk_bytes).
    """

    def __init__(self, config: Config):
        self.config = config
        depthwise = {
            "delays": In(DelaySchedule(config.rows, config.depthwise_delay)),
            "bus": Out(signed(8)).array(config.cols),
        }
        super().__init__(
            {
                "request": In(FeedRequest(config)),
                "read_data": In(8 * config.feed_bytes),
                "zero_point": In(signed(8)),
                "control": In(StepControl),
                "pixels": In(unsigned(ceil_log2(config.rows + 1))),
                "activation": Out(signed(8)).array(config.rows),
                "control_out": Out(StepControl).array(config.rows),
                **(depthwise if config.depthwise_delay else {}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        request = delay(m, self.request, latency.ACTIVATION_READ, "request")
        width = self.config.feed_bytes
        wanted = Signal(width)
        m.d.comb += wanted.eq(
            Mux(
                request.read,
                ((Const(1, width + 1) << request.high) - 1) & ~((Const(1, width + 1) << request.low) - 1),
                0,
            )
        )
        masked = Signal(8 * width, reset_less=True)
        capture = Signal()
        row = Signal.like(request.row)
        to_capture = latency.FEED_ROWS - 1
        zero_point = self.zero_point.as_unsigned()
        padded = Cat(Mux(wanted[i], self.read_data.word_select(i, 8), zero_point) for i in range(width))
        register(m, masked, padded, to_capture, "masked", reset_less=True)
        register(m, capture, request.row_valid, to_capture, "capture")
        register(m, row, request.row, to_capture, "row", reset_less=True)
        control, pixels = self.control, self.pixels
        for r in range(self.config.rows):
            # All but the first are kept where they were captured, and chosen: fewer tables than for bytes that move.
            kept = Signal(8 * (width - 1), name=f"row{r}", reset_less=True)
            following = Signal(ceil_log2(width), name=f"following{r}", reset_less=True)
            shown = Signal(8, name=f"shown{r}", reset_less=True)
            m.d.sync += [shown.eq(Cat(Const(0, 8), kept).word_select(following, 8)), following.eq(following + 1)]
            with m.If(capture & (row == r)):
                m.d.sync += [kept.eq(masked[8:]), shown.eq(masked[:8]), following.eq(1)]
            m.d.comb += [
                self.activation[r].eq(shown),
                self.control_out[r].eq(control),
                self.control_out[r].valid.eq(control.valid & (r < pixels)),
            ]
            if r + 1 < self.config.rows:
                later = Signal(StepControl, name=f"control{r + 1}")
                later_pixels = Signal.like(self.pixels, name=f"pixels{r + 1}")
                m.d.sync += [later.eq(control), later_pixels.eq(pixels)]
                control, pixels = later, later_pixels
                if self.config.depthwise_delay:
                    control, pixels = self._delayed(m, r, control, pixels)
        if self.config.depthwise_delay:
            for c in range(min(self.config.cols, width)):
                m.d.sync += self.bus[c].eq(masked.word_select(c, 8))
        return m

    def _delayed(self, m: Module, link: int, control: Signal, pixels: Signal) -> tuple[Signal, Signal]:
        """Control and pixels as they leave the delay line from row `link` to the next."""
        config = self.config
        word = Cat(control, pixels)
        m.submodules[f"delay_{link}"] = line = DelayLine(len(word), 1, config.rows, config.depthwise_delay, link)
        below = Signal(StepControl, name=f"control_below{link}")
        below_pixels = Signal.like(pixels, name=f"pixels_below{link}")
        m.d.comb += [
            line.word[0].eq(word),
            line.schedule.eq(self.delays),
            Cat(below, below_pixels).eq(line.out[0]),
            below.valid.eq(line.out[0][0] & self.delays.links[link].fresh),
        ]
        return below, below_pixels
