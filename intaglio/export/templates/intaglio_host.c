/* SPDX-License-Identifier: Apache-2.0 */
#include "intaglio_host.h"

#ifdef __FAST_MATH__
#error "intaglio_host.c needs exact IEEE 754 arithmetic: compile it without -ffast-math"
#endif

/* Beyond it every element is saturated, whatever the zero point. */
static const float BEYOND = 512.0f;

static void quantize(const intaglio_quantization *to, const float *reals, uint32_t count, uint8_t *elements, int even) {
    uint32_t i;
    for (i = 0; i < count; ++i) {
        const float ratio = reals[i] / to->scale;
        float size = ratio < 0.0f ? -ratio : ratio;
        int32_t whole;
        float rest;
        if (!(size < BEYOND)) {
            size = BEYOND;
        }
        whole = (int32_t)size;
        rest = size - (float)whole; /* exact */
        if (rest > 0.5f || (rest == 0.5f && (!even || (whole & 1) != 0))) {
            ++whole;
        }
        whole = (ratio < 0.0f ? -whole : whole) + to->zero_point;
        if (whole < to->lowest) {
            whole = to->lowest;
        }
        if (whole > to->lowest + 255) {
            whole = to->lowest + 255;
        }
        elements[i] = (uint8_t)((uint32_t)whole & 0xFFu);
    }
}

void intaglio_quantize_away(const intaglio_quantization *to, const float *reals, uint32_t count, void *elements) {
    quantize(to, reals, count, (uint8_t *)elements, 0);
}

void intaglio_quantize_even(const intaglio_quantization *to, const float *reals, uint32_t count, void *elements) {
    quantize(to, reals, count, (uint8_t *)elements, 1);
}

void intaglio_dequantize(const intaglio_quantization *of, const void *elements, uint32_t count, float *reals) {
    const uint8_t *bytes = (const uint8_t *)elements;
    uint32_t i;
    for (i = 0; i < count; ++i) {
        const int32_t element = of->lowest == 0 || bytes[i] < 128u ? (int32_t)bytes[i] : (int32_t)bytes[i] - 256;
        reals[i] = of->scale * (float)(element - of->zero_point);
    }
}

/* Softmax in fixed point. A comment Qm.n gives the integer and fractional bits of a 32-bit value. */

/* round(a * b / 2^31), a tie towards plus infinity. */
static int32_t high_multiply(int32_t a, int32_t b) {
    const int64_t product = (int64_t)a * b;
    const int64_t quotient = (product + (product >= 0 ? 1073741824 : -1073741823)) / 2147483648LL;
    return quotient > INT32_MAX ? INT32_MAX : (int32_t)quotient;
}

/* floor(x / 2^by), by 0 to 31, whatever >> does to negative numbers. */
static int32_t shift_right(int32_t x, int32_t by) {
    return x >= 0 ? x >> by : -1 - ((-1 - x) >> by);
}

/* round(x / 2^by), a half away from zero. */
static int32_t divide(int32_t x, int32_t by) {
    const int32_t mask = (int32_t)((1u << by) - 1u);
    const int32_t rest = (int32_t)((uint32_t)x & (uint32_t)mask);
    return shift_right(x, by) + (rest > (mask >> 1) + (x < 0 ? 1 : 0) ? 1 : 0);
}

/* x * 2^by, saturated. */
static int32_t shift_left(int32_t x, int32_t by) {
    const int64_t wide = (int64_t)x * ((int64_t)1 << by);
    return wide > INT32_MAX ? INT32_MAX : wide < INT32_MIN ? INT32_MIN : (int32_t)wide;
}

/* exp(a) for a <= 0: Q5.26 in, Q0.31 out. A quarter by polynomial, the rest by a factor for each bit. */
static int32_t exponential(int32_t a) {
    static const int32_t factors[] = {1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242};
    const int32_t quarter = 1 << 24;
    const int32_t minus_eighth = 1895147668; /* exp(-1/8), Q0.31 */
    const int32_t in_quarter = (int32_t)((uint32_t)a & (uint32_t)(quarter - 1)) - quarter;
    const uint32_t remainder = (uint32_t)(in_quarter - a);
    const int32_t x = shift_left(in_quarter, 5) + (1 << 28); /* Q0.31 around -1/8 */
    const int32_t x2 = high_multiply(x, x);
    const int32_t x3 = high_multiply(x2, x);
    const int32_t x4_over_4 = divide(high_multiply(x2, x2), 2);
    const int32_t third = high_multiply(x4_over_4 + x3, 715827883);
    int32_t result = minus_eighth + high_multiply(x + divide(third + x2, 1), minus_eighth);
    uint32_t bit;
    if (a == 0) {
        return INT32_MAX;
    }
    for (bit = 0; bit < sizeof factors / sizeof factors[0]; ++bit) {
        if ((remainder >> (24u + bit) & 1u) != 0u) {
            result = high_multiply(result, factors[bit]);
        }
    }
    return result;
}

/* 1 / (1 + x), Q0.31 for 0 <= x < 1: three Newton-Raphson steps in Q2.29. */
static int32_t reciprocal(int32_t x) {
    const int32_t half = (int32_t)(((int64_t)x + INT32_MAX + 1) / 2);
    int32_t estimate = 1515870810 + high_multiply(half, -1010580540); /* 48/17 - 32/17 * half */
    int step;
    for (step = 0; step < 3; ++step) {
        const int32_t error = (1 << 29) - high_multiply(half, estimate);
        estimate += shift_left(high_multiply(estimate, error), 2);
    }
    return shift_left(estimate, 1);
}

/* A difference to the largest element (<= 0) as Q5.26; above 0 where it is too small to count. */
static int32_t scaled(int32_t difference, int32_t lowest, int32_t multiplier, int32_t left_shift) {
    return difference < lowest ? 1 : high_multiply(shift_left(difference, left_shift), multiplier);
}

void intaglio_softmax(const int8_t *from, uint32_t rows, uint32_t length, int32_t multiplier, int32_t left_shift,
                      int8_t *to) {
    const int32_t lowest = -(int32_t)((31LL << 26) >> left_shift);
    for (; rows > 0u; --rows, from += length, to += length) {
        int32_t largest = from[0];
        uint32_t total = 0;
        int32_t bits = 0;
        int32_t inverse;
        uint32_t i;
        for (i = 1; i < length; ++i) {
            largest = from[i] > largest ? from[i] : largest;
        }
        for (i = 0; i < length; ++i) {
            const int32_t x = scaled(from[i] - largest, lowest, multiplier, left_shift);
            total += x > 0 ? 0u : (uint32_t)divide(exponential(x), 12); /* Q12.19 */
        }
        while (bits < 32 && (total >> bits) != 0u) {
            ++bits;
        }
        inverse = reciprocal((int32_t)(((uint64_t)total << (32 - bits)) - 2147483648u));
        for (i = 0; i < length; ++i) {
            const int32_t x = scaled(from[i] - largest, lowest, multiplier, left_shift);
            int32_t value = -128;
            if (x <= 0) {
                value = bits > 28 ? -128 : divide(high_multiply(inverse, exponential(x)), bits + 3) - 128;
                value = value > 127 ? 127 : value;
            }
            to[i] = (int8_t)value;
        }
    }
}

/* The same with 128 more on both sides: differences count alone. */
void intaglio_softmax_unsigned(const uint8_t *from, uint32_t rows, uint32_t length, int32_t multiplier,
                               int32_t left_shift, uint8_t *to) {
    int8_t *const elements = (int8_t *)to;
    uint32_t i;
    for (i = 0; i < rows * length; ++i) {
        to[i] = (uint8_t)(from[i] ^ 128u);
    }
    intaglio_softmax(elements, rows, length, multiplier, left_shift, elements);
    for (i = 0; i < rows * length; ++i) {
        to[i] = (uint8_t)(to[i] ^ 128u);
    }
}
